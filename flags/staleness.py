"""Which flags have done their work: long unchanged, and deciding nothing any more or asked by nobody."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from openflagship.engine import BUCKETS

from analytics import selectors as analytics
from flags.documents import Ranges
from flags.models import FlagConfig, Rule
from tenancy.models import Environment


def stale_pks(environment: Environment, found: QuerySet[FlagConfig]) -> set[int]:
    """Return the rows' ids of those that are stale. One query and one look at the events, and no row is made."""
    cut = _cut()
    untouched = found.filter(updated_at__lt=cut, flag__updated_at__lt=cut, flag__is_archived=False)
    is_plain = Q(prerequisites=[], targets=[], experiment__isnull=True) & ~Exists(
        Rule.objects.filter(config=OuterRef("pk"))
    )
    rows = untouched.annotate(is_plain=is_plain).values_list(
        "pk",
        "flag__key",
        "is_enabled",
        "kill_switch_variant",
        "is_plain",
        "off_variant",
        "default_variant",
        "allocation",
    )
    stale, others = set(), {}
    for pk, key, is_enabled, killed_to, plain, off_variant, default_variant, allocation in rows:
        served = _served_to_everybody(
            is_enabled=is_enabled,
            is_killed=bool(killed_to),
            is_plain=plain,
            off_variant=off_variant,
            default_variant=default_variant,
            allocation=allocation,
        )
        if served is not None:
            stale.add(pk)
        else:
            others[key] = pk
    last = analytics.last_exposures(environment.pk, list(others))
    return stale | {pk for key, pk in others.items() if not _is_asked(last.get(key), cut)}


def evidence_of(
    environment: Environment, configs: Iterable[tuple[FlagConfig, list[Rule]]]
) -> dict[int, dict[str, Any]]:
    """For each flag, by its row's id: why it is stale (no reason: it is not), its last change and its last evaluation.

    An evaluation without a unit leaves no exposure, and is not seen here.
    """
    listed = list(configs)
    last = analytics.last_exposures(environment.pk, [config.flag.key for config, _ in listed])
    cut = _cut()
    found = {}
    for config, rules in listed:
        changed_at = max(config.updated_at, config.flag.updated_at)
        seen_at = last.get(config.flag.key)
        reasons: list[dict[str, Any]] = []
        if changed_at < cut and not config.flag.is_archived:
            served = served_to_everybody(config, rules)
            if served is not None:
                code = "fully_rolled_out" if config.is_enabled else "switched_off"
                reasons.append({"code": code, "variant": served, "since": changed_at})
            if not _is_asked(seen_at, cut):
                reasons.append({"code": "not_evaluated", "variant": None, "since": seen_at})
        found[config.pk] = {"reasons": reasons, "lastChangedAt": changed_at, "lastEvaluatedAt": seen_at}
    return found


def served_to_everybody(config: FlagConfig, rules: list[Rule]) -> str | None:
    """Return the one variant that every unit gets whatever is known about it, or None where something is decided."""
    return _served_to_everybody(
        is_enabled=config.is_enabled,
        is_killed=config.is_killed,
        is_plain=not (config.prerequisites or config.targets or config.experiment or rules),
        off_variant=config.off_variant,
        default_variant=config.default_variant,
        allocation=config.allocation,
    )


def _served_to_everybody(
    *, is_enabled: bool, is_killed: bool, is_plain: bool, off_variant: str, default_variant: str, allocation: Ranges
) -> str | None:
    if is_killed:
        return None
    if not is_enabled:
        return off_variant
    if not is_plain:
        return None
    variants = {variant for _, _, variant in allocation}
    if sum(end - start for start, end, _ in allocation) < BUCKETS:
        variants.add(default_variant)
    return variants.pop() if len(variants) == 1 else None


def _cut() -> datetime:
    return timezone.now() - timedelta(days=settings.STALE_FLAG_DAYS)


def _is_asked(seen_at: datetime | None, cut: datetime) -> bool:
    return seen_at is not None and seen_at >= cut
