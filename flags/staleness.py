"""Which flags have done their work: long unchanged, and deciding nothing any more or asked by nobody."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone
from openflagship.engine import BUCKETS

from analytics import selectors as analytics
from flags.models import FlagConfig
from tenancy.models import Environment


def stale_configs(environment: Environment, found: QuerySet[FlagConfig], *, is_stale: bool) -> QuerySet[FlagConfig]:
    """Narrow to the flags that are stale, or to those that are not. Two queries, and one look at the events for all."""
    candidates = list(found.filter(_untouched(), flag__is_archived=False))
    stale = [pk for pk, evidence in evidence_of(environment, candidates).items() if evidence["reasons"]]
    return found.filter(pk__in=stale) if is_stale else found.exclude(pk__in=stale)


def _untouched() -> Q:
    since = timezone.now() - timedelta(days=settings.STALE_FLAG_DAYS)
    return Q(updated_at__lt=since, flag__updated_at__lt=since)


def evidence_of(environment: Environment, configs: Iterable[FlagConfig]) -> dict[int, dict[str, Any]]:
    """For each flag, by its row's id: why it is stale (no reason: it is not), its last change and its last evaluation.

    An evaluation without a unit leaves no exposure, and is not seen here.
    """
    rows = list(configs)
    last = analytics.last_exposures(environment.pk, [row.flag.key for row in rows])
    cut = timezone.now() - timedelta(days=settings.STALE_FLAG_DAYS)
    found = {}
    for row in rows:
        changed_at = max(row.updated_at, row.flag.updated_at)
        seen_at = last.get(row.flag.key)
        reasons: list[dict[str, Any]] = []
        if changed_at < cut and not row.flag.is_archived:
            served = served_to_everybody(row)
            if served is not None:
                code = "fully_rolled_out" if row.is_enabled else "switched_off"
                reasons.append({"code": code, "variant": served, "since": changed_at})
            if seen_at is None or seen_at < cut:
                reasons.append({"code": "not_evaluated", "variant": None, "since": seen_at})
        found[row.pk] = {"reasons": reasons, "lastChangedAt": changed_at, "lastEvaluatedAt": seen_at}
    return found


def served_to_everybody(config: FlagConfig) -> str | None:
    """Return the one variant that every unit gets whatever is known about it, or None where something is decided."""
    if config.is_killed:
        return None
    if not config.is_enabled:
        return config.off_variant
    if config.prerequisites or config.targets or config.experiment or config.rules.all():
        return None
    variants = {variant for _, _, variant in config.allocation}
    if sum(end - start for start, end, _ in config.allocation) < BUCKETS:
        variants.add(config.default_variant)
    return variants.pop() if len(variants) == 1 else None
