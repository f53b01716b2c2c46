"""Bots found after their events were stored: by new patterns, or by how fast they go."""

from collections.abc import Callable
from datetime import timedelta

import structlog
from django.conf import settings
from django.utils import timezone

from analytics.enrichment.enrichment import EnrichmentRules
from analytics.models import BotUnit
from analytics.stores import store

log = structlog.get_logger(__name__)


def reclassify_bots(progress: Callable[[int, int], None]) -> tuple[int, int]:
    """Flag all raw events by the present rules; return how many events became bots' and how many ceased to be.

    `progress(done, total)` counts partitions. To be run once the ingest was restarted with other BOT_USER_IDS or
    BOT_USER_AGENTS. Everything derived from the events follows.
    """
    return store().reclassify(EnrichmentRules.load(), progress)


def find_fast_bots(*, hours: int = 2) -> list[BotUnit]:
    """Make bots of units with more than BOT_EXPOSURES_PER_HOUR exposures in some hour of the last ones."""
    limit = settings.BOT_EXPOSURES_PER_HOUR
    if not limit:
        return []
    found = store().fast_units(timezone.now() - timedelta(hours=hours), limit)
    rows = [
        BotUnit(
            environment_id=unit.environment_id,
            unit_id=unit.unit_id,
            because=f"{most} exposures in an hour, more than {limit}",
        )
        for unit, most in found
    ]
    if rows:
        # Known before the events are flagged: reflagging makes every ingest process look again.
        BotUnit.objects.bulk_create(rows, ignore_conflicts=True)
        flagged = store().reflag_units([unit for unit, _ in found])
        log.info("units found to be bots", units=len(rows), events=flagged)
    return rows
