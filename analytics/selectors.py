"""What the apps above may ask of the events; every answer leaves bots out and counts a unit once."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from analytics.stores import store
from analytics.stores.base import (
    BinarySummary,
    Counting,
    EventRow,
    ExposureSummary,
    FirstExposure,
    FlagExposures,
    Pauses,
    Period,
    ValueSummary,
    full_millisecond,
)
from analytics.stores.distributions import Distributed, Distribution, Rows, Scope
from analytics.stores.pairs import Figure, Kind, Pairing, PairSummary, Segments, segment_name

__all__ = [
    "GRACE",
    "BinarySummary",
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
    "Rows",
    "Scope",
    "Segments",
    "ValueSummary",
    "attribute_values",
    "binary_summary",
    "bots_first_seen",
    "distribution",
    "event_counts",
    "events",
    "exposure_summary",
    "first_exposures",
    "flag_exposures",
    "flag_exposures_between",
    "flag_units",
    "last_exposures",
    "last_received",
    "latest_attributes",
    "next_counted",
    "pair_summary",
    "recent_attributes",
    "recent_units",
    "segment_name",
    "segment_summary",
    "value_summary",
]

# How long after an experiment's end its users' events still count.
GRACE = timedelta(days=7)
_JUST_NOW = timedelta(seconds=5)


def first_exposures(
    environment_id: int, experiment: str, since: datetime, until: datetime | None, *, pauses: Pauses = ()
) -> Iterator[FirstExposure]:
    """Yield one row per unit that was first exposed in [since, until), ordered by unit; crossovers are marked."""
    return store().first_exposures(Period(environment_id, experiment, since, until, pauses))


def exposure_summary(
    environment_id: int, experiment: str, since: datetime, until: datetime | None, *, pauses: Pauses = ()
) -> ExposureSummary:
    """Units per variant, in all and per UTC day of first exposure, with crossovers and bots apart."""
    return store().exposure_summary(Period(environment_id, experiment, since, until, pauses))


def binary_summary(  # noqa: PLR0917 - the order reads as a sentence: where, what, when
    environment_id: int,
    experiment: str,
    event_name: str,
    since: datetime,
    until: datetime | None,
    window: timedelta | None,
    grace: timedelta = GRACE,
    *,
    pauses: Pauses = (),
) -> dict[str, BinarySummary]:
    """Per variant: units, and those with at least one event that counts (see `Counting`); a unit converts once."""
    period = Period(environment_id, experiment, since, until, pauses)
    return store().binary_summary(period, Counting(event_name, window, grace))


def value_summary(  # noqa: PLR0917 - as above
    environment_id: int,
    experiment: str,
    event_name: str,
    since: datetime,
    until: datetime | None,
    window: timedelta | None,
    grace: timedelta = GRACE,
    *,
    pauses: Pauses = (),
) -> dict[str, ValueSummary]:
    """Per variant: n, sum and sum of squares of the units' total values and event counts."""
    period = Period(environment_id, experiment, since, until, pauses)
    return store().value_summary(period, Counting(event_name, window, grace))


def pair_summary(
    environment_id: int,
    experiment: str,
    since: datetime,
    until: datetime | None,
    pairing: Pairing,
    *,
    pauses: Pauses = (),
) -> dict[str, PairSummary]:
    """Per variant: two figures of each unit side by side, summed up (see `Pairing`)."""
    return store().pair_summary(Period(environment_id, experiment, since, until, pauses), pairing)


def distribution(
    environment_id: int,
    experiment: str,
    since: datetime,
    until: datetime | None,
    asked: Distribution,
    *,
    pauses: Pauses = (),
) -> dict[str, Distributed]:
    """Per variant: the figures of events or of units, each with how often it is there (see `Distribution`)."""
    return store().distribution(Period(environment_id, experiment, since, until, pauses), asked)


def segment_summary(  # noqa: PLR0917 - as above
    environment_id: int,
    experiment: str,
    since: datetime,
    until: datetime | None,
    pairing: Pairing,
    attribute: str,
    *,
    pauses: Pauses = (),
) -> Segments:
    """As `pair_summary`, by the value of an attribute at the unit's first exposure that had one; None: the rest."""
    return store().segment_summary(Period(environment_id, experiment, since, until, pauses), pairing, attribute)


def flag_exposures(
    environment_id: int, flag_key: str, since: datetime | None, until: datetime | None
) -> dict[str, FlagExposures]:
    """Per variant of a flag: exposures and unique units in [since, until), `since` taken back to its full UTC hour.

    Up to now (`until` is None, or no earlier) this reads hourly counts, else counts of the full hours that are folded:
    milliseconds at any number of exposures. Of the rest, as of an hour that the window cuts, it reads the raw events.
    """
    is_until_now = until is None or until >= timezone.now() - _JUST_NOW
    start = _full_hour(since) if since else None
    return store().flag_exposures(environment_id, flag_key, start, None if is_until_now else until)


def flag_exposures_between(
    environment_id: int, flag_key: str, since: datetime, until: datetime
) -> dict[str, FlagExposures]:
    """As `flag_exposures`, and exact at both ends: of hours that are not whole in it the raw events are read."""
    return store().flag_exposures(environment_id, flag_key, full_millisecond(since), full_millisecond(until))


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


def last_exposures(environment_id: int, flag_keys: Sequence[str]) -> dict[str, datetime]:
    """The UTC hour of each flag's last exposure; flags that never had one are left out."""
    return store().last_exposures(environment_id, flag_keys)


def events(
    environment_id: int, event_name: str, since: datetime, until: datetime | None = None, *, value_property: str = ""
) -> Iterator[EventRow]:
    """Yield events of one name one by one, in the order of their ids: what sums over users are not enough for.

    With `value_property` the number of that name in an event's properties is its value; without one it has none.
    """
    return store().events(environment_id, event_name, since, until, value_property)


def event_counts(environment_id: int, event_name: str, since: datetime) -> tuple[int, int]:
    """Events of one name since then, and the units behind them."""
    return store().event_counts(environment_id, event_name, since)


def flag_units(environment_id: int, flag_key: str, since: datetime, until: datetime) -> Iterator[tuple[str, datetime]]:
    """Yield each unit that saw the flag in [since, until) with when it first did, ordered by unit."""
    return store().flag_units(environment_id, flag_key, since, until)


def attribute_values(
    environment_id: int, experiment: str, since: datetime, until: datetime, name: str
) -> Iterator[tuple[str, Any]]:
    """Yield each unit with its value of an attribute at the first exposure that had one; nested values are none."""
    return store().attribute_values(Period(environment_id, experiment, since, until), name)


def bots_first_seen(
    environment_id: int, experiment: str, since: datetime, until: datetime, pauses: Pauses = ()
) -> dict[str, int]:
    """Units that are bots by all of their exposures, by the variant they saw first; none first seen in a pause."""
    return store().bots_first_seen(Period(environment_id, experiment, since, until, pauses))


def last_received(  # noqa: PLR0917 - as above
    environment_id: int,
    experiment: str,
    since: datetime,
    until: datetime,
    event_names: Sequence[str],
    deadline: datetime,
) -> datetime | None:
    """When the youngest event received before `deadline` that such an analysis may rest on was received."""
    return store().last_received(Period(environment_id, experiment, since, until), event_names, deadline)


def next_counted(moment: datetime) -> datetime:
    """The earliest start, from `moment` on, that `flag_exposures` takes as it is: a full hour, or midnight long ago."""
    start = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    while start < moment or _full_hour(start) < start:
        start += timedelta(hours=1)
    return start


def _full_hour(moment: datetime) -> datetime:
    """Back to the full hour; to midnight where retention has merged hours into days."""
    start = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    is_merged = start < timezone.now() - timedelta(days=settings.RAW_EVENT_RETENTION_DAYS)
    return start.replace(hour=0) if is_merged else start
