"""What the apps above may ask of the events; every answer leaves bots out and counts a unit once."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from analytics.enrichment.enrichment import pseudonym
from analytics.models import EventPolicy
from analytics.stores import store
from analytics.stores.base import (
    EventRow,
    ExposureSummary,
    FirstExposure,
    FlagExposures,
    Pauses,
    Period,
    full_millisecond,
)
from analytics.stores.distributions import Distributed, Distribution, Rows, Scope
from analytics.stores.pairs import Breakdown, Figure, Kind, Pairing, PairSummary, Segments, segment_name
from analytics.stores.protocols import Aggregate
from analytics.stores.time_limit import answer_within

__all__ = [
    "GRACE",
    "Aggregate",
    "Breakdown",
    "Distributed",
    "Distribution",
    "EventRow",
    "ExposureSummary",
    "Figure",
    "FirstExposure",
    "FlagExposures",
    "Kind",
    "PairSummary",
    "Pairing",
    "Pauses",
    "Period",
    "Rows",
    "Scope",
    "Segments",
    "answer_within",
    "attribute_values",
    "bots_first_seen",
    "converted_units",
    "distribution",
    "event_count",
    "events",
    "exact_flag_exposures",
    "exposure_summary",
    "first_exposures",
    "flag_arms",
    "flag_exposures",
    "flag_units",
    "last_conversions",
    "last_exposures",
    "last_received",
    "latest_attributes",
    "pair_summary",
    "prefetched_exposures",
    "raw_events_since",
    "recent_attributes",
    "recent_units",
    "segment_name",
    "segment_summary",
    "stored_ids",
    "variants_seen",
    "whole_days",
]

# How long after an experiment's end its users' events still count.
GRACE = timedelta(days=7)
_JUST_NOW = timedelta(seconds=5)


def first_exposures(period: Period) -> Iterator[FirstExposure]:
    """Yield one row per unit that was first exposed in the period, ordered by unit; crossovers are marked."""
    return store().first_exposures(period)


def exposure_summary(period: Period) -> ExposureSummary:
    """Units per variant, in all and per UTC day of first exposure, with crossovers and bots apart."""
    return store().exposure_summary(period)


def prefetched_exposures(period: Period) -> int:
    """The period's exposures that bulk answers logged: their users need not have seen the variant."""
    return store().prefetched_exposures(period)


def pair_summary(period: Period, pairing: Pairing) -> dict[str, PairSummary]:
    """Per variant: one or two figures of each unit, summed up (see `Pairing`)."""
    return store().pair_summary(period, pairing)


def distribution(period: Period, asked: Distribution) -> dict[str, Distributed]:
    """Per variant: the figures of events or of units, each with how often it is there (see `Distribution`)."""
    return store().distribution(period, asked)


def segment_summary(period: Period, breakdown: Breakdown) -> Segments:
    """As `pair_summary`, by the value that a unit's first exposure with the attribute carried; None: the rest."""
    return store().segment_summary(period, breakdown)


def flag_exposures(
    environment_id: int, flag_key: str, since: datetime | None, until: datetime | None
) -> dict[str, FlagExposures]:
    """Per variant of a flag: exposures and unique units in [since, until), `since` taken back to its full UTC hour.

    Units of whole UTC days are exact. In any other window that has a full hour they are an estimate from hourly
    sketches, with its `relative_error`; so is every window up to now (`until` is None, or no earlier). Exposures are
    exact always. Raw events are read of an hour that the window cuts.
    """
    is_until_now = until is None or until >= timezone.now() - _JUST_NOW
    start = _full_hour(since) if since else None
    return store().flag_exposures(environment_id, flag_key, start, None if is_until_now else until)


def exact_flag_exposures(
    environment_id: int, flag_key: str, since: datetime, until: datetime
) -> dict[str, FlagExposures]:
    """As `flag_exposures`, exact in any window. A window that is not of whole UTC days costs its raw events."""
    return store().exact_flag_exposures(environment_id, flag_key, full_millisecond(since), full_millisecond(until))


def whole_days(since: datetime, until: datetime) -> tuple[datetime, datetime] | None:
    """Return the whole UTC days within [since, until), as their bounds; None if there is none."""
    first, end = _midnight(since + timedelta(days=1) - timedelta.resolution), _midnight(until)
    return (first, end) if first < end else None


def recent_units(environment_id: int, flag_key: str, since: datetime, *, limit: int) -> list[tuple[str, str]]:
    """(unit, the variant it saw last), for at most `limit` units seen since that full hour, the latest first."""
    return store().recent_units(environment_id, flag_key, _full_hour(since), limit)


def recent_attributes(
    environment_id: int, flag_key: str, since: datetime, *, most_exposures: int
) -> dict[str, dict[str, Any]]:
    """What units carried at their last exposure to the flag that kept attributes, bots left out.

    Looks at the installation's latest `most_exposures` exposures, and no further back than `since`'s full hour.
    """
    return store().recent_attributes(environment_id, flag_key, _full_hour(since), most_exposures)


def latest_attributes(
    environment_id: int, since: datetime, *, most_exposures: int, limit: int
) -> list[tuple[str, dict[str, Any]]]:
    """(unit, what it carried) of at most `limit` of the environment's latest exposures, those without left out.

    Looks no further back than `since`, and may leave out what is not among the installation's `most_exposures` latest.
    """
    return store().latest_attributes(environment_id, since, most_exposures, limit)


def last_exposures(environment_ids: Sequence[int], flag_keys: Sequence[str]) -> dict[str, tuple[datetime, int]]:
    """The UTC hour of each flag's last exposure and its environment, of several the one named first.

    Flags that never had one are left out.
    """
    return store().last_exposures(environment_ids, flag_keys)


def events(
    environment_id: int, event_name: str, since: datetime, until: datetime | None = None, *, value_property: str = ""
) -> Iterator[EventRow]:
    """Yield events of one name one by one, in the order of their ids: what sums over users are not enough for.

    With `value_property` the number of that name in an event's properties is its value; without one it has none.
    """
    return store().events(environment_id, event_name, since, until, value_property)


def event_count(environment_id: int, event_name: str, since: datetime) -> int:
    """Events of one name since then."""
    return store().event_count(environment_id, event_name, since)


def last_conversions(environment_id: int, event_names: Sequence[str]) -> dict[str, date]:
    """The UTC day of each event name's latest conversion; names that never had one are left out."""
    return store().last_conversions(environment_id, event_names)


def converted_units(
    environment_id: int, flag_key: str, since: datetime, until: datetime, *, event_name: str, window: timedelta
) -> tuple[int, int]:
    """Units that saw the flag in [since, until), and those of them with such an event within the window after."""
    return store().converted_units(environment_id, flag_key, since, until, event_name=event_name, window=window)


def variants_seen(environment_id: int, since: datetime) -> list[tuple[str, str, int]]:
    """(flag, variant, exposures) since that full hour, of whatever names exposures had, known or not."""
    return store().variants_seen(environment_id, since)


def flag_units(environment_id: int, flag_key: str, since: datetime, until: datetime) -> Iterator[tuple[str, datetime]]:
    """Yield each unit that saw the flag in [since, until) with when it first did, ordered by unit."""
    return store().flag_units(environment_id, flag_key, since, until)


def flag_arms(
    environment_id: int, flag_key: str, since: datetime, until: datetime, rule_id: str = ""
) -> Iterator[tuple[str, str, datetime]]:
    """Yield each unit that the rule, or the flag's own rollout, gave one variant alone, with it and the first time."""
    return store().flag_arms(environment_id, flag_key, since, until, rule_id)


def attribute_values(period: Period, name: str) -> Iterator[tuple[str, Any]]:
    """Yield each unit with its value of an attribute at the first exposure that had one; nested values are none."""
    return store().attribute_values(period, name)


def bots_first_seen(period: Period) -> dict[str, int]:
    """Units that are bots by all of their exposures, by the variant they saw first; none first seen in a pause."""
    return store().bots_first_seen(period)


def last_received(period: Period, event_names: Sequence[str], deadline: datetime) -> datetime | None:
    """When the youngest event received before `deadline` that such an analysis may rest on was received."""
    return store().last_received(period, event_names, deadline)


def raw_events_since(environment_id: int) -> datetime | None:
    """The moment before which retention has deleted the environment's raw events; None if it has deleted none."""
    return EventPolicy.objects.filter(environment_id=environment_id).values_list("raw_since", flat=True).first()


def stored_ids(environment_id: int, user_ids: Sequence[str]) -> list[str]:
    """The ids under which these users are stored: pseudonyms, where the environment stores those."""
    policies = EventPolicy.objects.filter(environment=environment_id, pseudonym_key__isnull=False)
    policy = policies.first() if user_ids else None
    if policy is None:
        return list(user_ids)
    key = bytes(policy.pseudonym_key or b"")
    return [pseudonym(key, user_id) for user_id in user_ids]


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _full_hour(moment: datetime) -> datetime:
    """Back to the full hour; to midnight where retention has merged hours into days."""
    start = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    is_merged = start < timezone.now() - timedelta(days=settings.RAW_EVENT_RETENTION_DAYS)
    return start.replace(hour=0) if is_merged else start
