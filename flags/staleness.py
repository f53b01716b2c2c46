"""Which flags are stale: unchanged for long, and they give everybody one variant or nobody evaluates them any more."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.expressions import Combinable
from django.utils import timezone
from openflagship.engine import BUCKETS, buckets_by_variant

from analytics import selectors as analytics
from analytics.usage import reading
from analytics.usage.batches import API, Source
from flags.documents import Ranges
from flags.models import Flag, FlagConfig, Rule
from tenancy.models import Environment

_FIRST_LOOK = 100
# A flag that was asked for in this time is never called unused, however early flags may be stale here.
ASKED_FOR_DAYS = 7


class Serves(Protocol):
    """The columns that say what a configuration serves."""

    @property
    def is_enabled(self) -> bool: ...
    @property
    def kill_switch_variant(self) -> str: ...
    @property
    def off_variant(self) -> str: ...
    @property
    def default_variant(self) -> str: ...
    @property
    def allocation(self) -> Ranges: ...


@dataclass(frozen=True, slots=True)
class _Unchanged:
    """A flag that nobody changed for long; `is_plain`: no prerequisite, target, rule or experiment decides."""

    pk: int
    key: str
    is_enabled: bool
    kill_switch_variant: str
    is_plain: bool
    off_variant: str
    default_variant: str
    allocation: Ranges


def stale_pks(environment: Environment, found: QuerySet[FlagConfig]) -> set[int]:
    """The ids of the stale ones among `found`. It takes one query and one look at the exposures, and makes no row."""
    return set(_stale_among(environment, _read(_unchanged(found, _last_change()))))


def longest_unchanged(environment: Environment, most: int) -> list[int]:
    """The ids of stale flags, those first that nobody changed for longest; at most `most` of them.

    It reads a small part of the flags first, and more of them only while that has too few stale ones.
    """
    since = _last_change()
    oldest_first = _unchanged(FlagConfig.objects.filter(environment=environment), since).order_by("updated_at", "pk")
    stale: list[int] = []
    start, size = 0, _FIRST_LOOK
    # The part is chosen first, so that rules are looked up for it alone.
    while part := _read(
        FlagConfig.objects.filter(pk__in=oldest_first.values("pk")[start : start + size]).order_by("updated_at", "pk")
    ):
        stale += _stale_among(environment, part)
        if len(stale) >= most or len(part) < size:
            break
        start, size = start + size, size * 4
    return stale[:most]


def _unchanged(found: QuerySet[FlagConfig], since: datetime) -> QuerySet[FlagConfig]:
    return found.filter(updated_at__lt=since, flag__is_archived=False)


def plainness() -> Combinable:
    """The condition that holds for configurations in which nothing but the split decides."""
    has_rule = Exists(Rule.objects.filter(config=OuterRef("pk")))
    return Q(prerequisites=[], targets=[], experiment__isnull=True) & ~has_rule


def _read(rows: QuerySet[FlagConfig]) -> list[_Unchanged]:
    columns = rows.annotate(is_plain=plainness()).values_list(
        "pk",
        "flag__key",
        "is_enabled",
        "kill_switch_variant",
        "is_plain",
        "off_variant",
        "default_variant",
        "allocation",
    )
    return [_Unchanged(*row) for row in columns]


def _stale_among(environment: Environment, rows: Sequence[_Unchanged]) -> list[int]:
    deciding = {row.pk for row in rows if one_variant_of(row, is_plain=row.is_plain) is None}
    asked = [row.key for row in rows if row.pk in deciding]
    last = last_evaluations(environment, asked)
    return [row.pk for row in rows if row.pk not in deciding or not _is_evaluated(last.get(row.key))]


def last_evaluations(environment: Environment, keys: Sequence[str]) -> dict[str, datetime]:
    """When each of the flags was evaluated last, with a unit or without: by its usage and by its exposures."""
    if not keys:
        return {}
    last = {key: use.at for key, use in reading.last_uses([environment.pk], keys).items()}
    for key, (at, _) in analytics.last_exposures([environment.pk], keys).items():
        last[key] = max(at, last.get(key, at))
    return last


def is_asked_for(at: datetime) -> bool:
    """Whether a flag that was evaluated then counts as evaluated now."""
    return at >= timezone.now() - timedelta(days=ASKED_FOR_DAYS)


def last_use_anywhere(flag: Flag) -> tuple[FlagConfig, reading.LastUse] | None:
    """The last evaluation of the flag in any of its environments: archiving takes it from all of them.

    Exposures, which have no service, are looked at where nothing else says that it is asked for.
    """
    rows = FlagConfig.objects.filter(flag=flag).select_related("environment", "flag")
    configs = {row.environment_id: row for row in rows}
    use = reading.last_uses(list(configs), [flag.key]).get(flag.key)
    if use is None or not is_asked_for(use.at):
        seen = (
            reading.LastUse(at, Source(environment_id, API, ""))
            for at, environment_id in analytics.last_exposures(list(configs), [flag.key]).values()
        )
        use = max([*seen, *([use] if use else [])], key=lambda each: each.at, default=None)
    return (configs[use.source.environment_id], use) if use else None


def evidence_of(
    environment: Environment, configs: Iterable[tuple[FlagConfig, list[Rule]]]
) -> dict[int, dict[str, Any]]:
    """For each flag, by its row's id: why it is stale, its last change and evaluation. Without a reason it is not."""
    listed = list(configs)
    last = last_evaluations(environment, [config.flag.key for config, _ in listed])
    last_change = _last_change()
    found = {}
    for config, rules in listed:
        changed_at = config.updated_at
        seen_at = last.get(config.flag.key)
        reasons: list[dict[str, Any]] = []
        if changed_at < last_change and not config.flag.is_archived:
            served = served_to_everybody(config, rules)
            if served is not None:
                code = "fully_rolled_out" if config.is_enabled else "switched_off"
                reasons.append({"code": code, "variant": served, "since": changed_at})
            if not _is_evaluated(seen_at):
                reasons.append({"code": "not_evaluated", "variant": None, "since": seen_at})
        found[config.pk] = {"reasons": reasons, "lastChangedAt": changed_at, "lastEvaluatedAt": seen_at}
    return found


def served_to_everybody(config: FlagConfig, rules: list[Rule]) -> str | None:
    """The one variant that every unit gets, whatever its attributes are; None where the flag decides something."""
    is_plain = not (config.prerequisites or config.targets or config.experiment or rules)
    return one_variant_of(config, is_plain=is_plain)


def one_variant_of(config: Serves, *, is_plain: bool) -> str | None:
    """The one variant that everybody gets, by the columns of a configuration; None where it decides something."""
    if config.kill_switch_variant:
        return None
    if not config.is_enabled:
        return config.off_variant
    if not is_plain:
        return None
    shares = buckets_by_variant(config.allocation)
    variants = set(shares) if sum(shares.values()) == BUCKETS else {*shares, config.default_variant}
    return variants.pop() if len(variants) == 1 else None


def _last_change() -> datetime:
    """A flag that was changed after this moment is not stale."""
    return timezone.now() - timedelta(days=settings.STALE_FLAG_DAYS)


def _is_evaluated(seen_at: datetime | None) -> bool:
    days = max(ASKED_FOR_DAYS, settings.STALE_FLAG_DAYS)
    return seen_at is not None and seen_at >= timezone.now() - timedelta(days=days)
