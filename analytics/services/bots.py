"""Finds bots after their events were stored, by new patterns or by their rate."""

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
    """Flag all raw events by the current rules. Return how many events became bots', and how many no longer are.

    `progress(done, total)` counts partitions. Run it after the ingest restarted with other BOT_USER_IDS or
    BOT_USER_AGENTS. Everything derived from the events follows.
    """
    return store().reclassify(EnrichmentRules.load(), progress)


def find_fast_bots(*, hours: int = 2) -> list[BotUnit]:
    """Flag units as bots that had more than BOT_EXPOSURES_PER_HOUR exposures in one of the last hours."""
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
        # Stored before the events are flagged, because flagging makes every ingest process read the rules again.
        BotUnit.objects.bulk_create(rows, ignore_conflicts=True)
        flagged = store().reflag_units([unit for unit, _ in found])
        log.info("units found to be bots", units=len(rows), events=flagged)
    return rows
