# ruff: noqa: ARG002 - a default that does nothing needs none of its arguments
"""What an event store does, in four protocols; `EventStore` is all of them.

A method has a body where an answer holds for every store that prepares nothing: it then has nothing to do.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from analytics.enrichment.enrichment import EnrichmentRules
from analytics.event_records import Batch
from analytics.stores.base import (
    Dropped,
    Erased,
    EventRow,
    ExposureSummary,
    FirstExposure,
    FlagExposures,
    Period,
    Stored,
    Unit,
)
from analytics.stores.distributions import Distributed, Distribution
from analytics.stores.pairs import Breakdown, Pairing, PairSummary, Segments

# What a store can prepare for an experiment, so that an answer need not look at every unit again.
Aggregate = Pairing | Distribution | Breakdown


class EventWriter(Protocol):
    """Stores events. Writes are idempotent per event id and environment, so at-least-once delivery counts once."""

    def write(self, batch: Batch) -> Stored:
        """Store a batch whole or not at all."""
        ...

    def forget(self) -> None:
        """Forget whatever the process remembers of the tables, for correctness after they changed behind its back."""
        return

    def open_phase(self, environment_id: int, experiment: str, started_at: datetime) -> None:
        """Count the experiment's units as first exposed anew from then on; asking again changes nothing."""
        return


class ExperimentReader(Protocol):
    """Answers what results of experiments rest on, exactly."""

    def first_exposures(self, period: Period) -> Iterator[FirstExposure]:
        """Yield one row per unit of the period, ordered by unit; crossovers are marked."""
        ...

    def exposure_summary(self, period: Period) -> ExposureSummary: ...

    def prefetched_exposures(self, period: Period) -> int:
        """Return the number of the period's exposures that bulk answers logged, bots left out."""
        ...

    def pair_summary(self, period: Period, pairing: Pairing) -> dict[str, PairSummary]: ...

    def segment_summary(self, period: Period, breakdown: Breakdown) -> Segments: ...

    def distribution(self, period: Period, distribution: Distribution) -> dict[str, Distributed]: ...

    def refresh_rollups(self, period: Period, aggregate: Aggregate) -> int:
        """Aggregate the days of first exposures that are over and have no valid roll-up; return their number.

        Answers are the same before and after. After, they do not look at the units of those days again.
        """
        return 0

    def attribute_values(self, period: Period, name: str) -> Iterator[tuple[str, Any]]:
        """Yield each unit with the text, number or boolean of that name its first exposure that had one carried."""
        ...

    def bots_first_seen(self, period: Period) -> dict[str, int]:
        """Return the number of units all of whose exposures are bots', by first variant; pauses leave units out."""
        ...

    def events(
        self, environment_id: int, event_name: str, since: datetime, until: datetime | None, value_property: str
    ) -> Iterator[EventRow]:
        """Yield events of one name in [since, until), bots left out, in the order of their ids.

        With `value_property`, the number of that name in an event's properties is its value.
        """
        ...

    def conversions_by_id(
        self, environment_id: int, ids: Sequence[UUID]
    ) -> list[tuple[UUID, float | None, int, str | None]]:
        """Return (id, value, Unix milliseconds, properties as JSON) of those of the conversions that are stored."""
        ...

    def last_conversions(self, environment_id: int, event_names: Sequence[str]) -> dict[str, date]:
        """Return the UTC day of each event name's latest conversion; names that never had one are left out."""
        ...

    def event_count(self, environment_id: int, event_name: str, since: datetime) -> int:
        """Return the number of events of one name since then, bots left out."""
        ...

    def last_received(self, period: Period, event_names: Sequence[str], deadline: datetime) -> datetime | None:
        """Return when the youngest of the period's exposures, and of those events since its start, was received."""
        ...


class FlagReader(Protocol):
    """Answers who saw a flag, experiment or not; bots are left out everywhere."""

    def flag_exposures(
        self, environment_id: int, flag_key: str, since: datetime | None, until: datetime | None
    ) -> dict[str, FlagExposures]:
        """Return exposures and units by variant; the units of a window that is not of whole UTC days are estimated."""
        ...

    def exact_flag_exposures(
        self, environment_id: int, flag_key: str, since: datetime, until: datetime
    ) -> dict[str, FlagExposures]:
        """As `flag_exposures`, and exact in any window; it may read every raw event of one that is not of days."""
        ...

    def aggregate_flags(self, since: datetime | None = None, until: datetime | None = None) -> int:
        """Prepare each flag's days that are over, in [since, until) alone if given; return how many had to be.

        `flag_exposures` is the same before and after. After, it does not look at the exposures of those days again.
        """
        return 0

    def flag_units(
        self, environment_id: int, flag_key: str, since: datetime, until: datetime
    ) -> Iterator[tuple[str, datetime]]:
        """Yield each unit that saw the flag in [since, until) with the time it first did, by unit."""
        ...

    def flag_arms(
        self, environment_id: int, flag_key: str, since: datetime, until: datetime, rule_id: str
    ) -> Iterator[tuple[str, str, datetime]]:
        """Yield each unit that chance gave one variant alone in [since, until), with it and the first time, by unit.

        Of a rule, those that it served; with `rule_id` "" those whom the flag's rollout or its default did.
        """
        ...

    def converted_units(
        self,
        environment_id: int,
        flag_key: str,
        since: datetime,
        until: datetime,
        *,
        event_name: str,
        window: timedelta,
    ) -> tuple[int, int]:
        """Return the units that saw the flag in [since, until), and those with such an event after they first did.

        The event lies within the window after the unit's first exposure of that time, and before `until`.
        """
        ...

    def variants_seen(self, environment_id: int, since: datetime) -> list[tuple[str, str, int]]:
        """Return (flag, variant, exposures) since that full hour, of whatever names exposures had."""
        ...

    def recent_units(self, environment_id: int, flag_key: str, since: datetime, limit: int) -> list[tuple[str, str]]:
        """Return (unit, the variant it saw last), for at most `limit` units seen since, the latest first."""
        ...

    def recent_attributes(
        self, environment_id: int, flag_key: str, since: datetime, most_exposures: int
    ) -> dict[str, dict[str, Any]]:
        """Return what units carried at their last exposure to the flag that has attributes.

        Looks at the installation's latest `most_exposures` exposures, by their ids, and no further back than `since`.
        """
        ...

    def latest_attributes(
        self, environment_id: int, since: datetime, most_exposures: int, limit: int
    ) -> list[tuple[str, dict[str, Any]]]:
        """Return (unit, what it carried) of the environment's latest exposures with attributes, the latest first.

        Looks no further back than `since`, and may leave out what is not among the installation's latest exposures.
        """
        ...

    def last_exposures(
        self, environment_ids: Sequence[int], flag_keys: Sequence[str]
    ) -> dict[str, tuple[datetime, int]]:
        """Return the UTC hour of each flag's last exposure and its environment, of several the one named first.

        Flags that never had one are left out.
        """
        ...


class EventEraser(Protocol):
    """Changes what is stored: bots found later, one person's data, pseudonyms, retention; and hands raw events out."""

    def reclassify(self, rules: EnrichmentRules, progress: Callable[[int, int], None]) -> tuple[int, int]:
        """Flag every raw event anew; return how many became bots' and how many ceased to be.

        `progress` is told the parts done and their number.
        """
        ...

    def reflag_units(self, found: Sequence[Unit]) -> int:
        """Flag all events of the units as bots'; return how many were not."""
        ...

    def fast_units(self, since: datetime, exposures_per_hour: int) -> list[tuple[Unit, int]]:
        """Return units with more exposures than that in some hour of those received since, and the most they had."""
        ...

    def erase_units(self, erased: Sequence[Unit]) -> Erased: ...

    def make_pseudonymous(self, environment_id: int, key: bytes) -> None:
        """Replace each unit id of the environment by its HMAC-SHA256 under the key."""
        ...

    def drop_before(self, cuts: Mapping[int, datetime], *, dry_run: bool) -> Iterator[Dropped]:
        """Drop each environment's raw events from before its moment; `cuts` names every environment."""
        ...

    def merge_hours(self, before: Mapping[int, datetime]) -> None:
        """Make days of each environment's counts of hours before its midnight (UTC)."""
        return

    def raw_events(self, units: Sequence[Unit]) -> Iterator[dict[str, Any]]:
        """Yield everything stored about the units, exposures first, in order of time."""
        ...

    def raw_rows(
        self,
        table: str,
        environment_id: int,
        since: datetime | None,
        until: datetime | None,
        *,
        received: tuple[datetime, datetime] | None = None,
    ) -> Iterator[tuple[Any, ...]]:
        """Yield stored events, bots' too, in no order: the fields of `analytics.event_records`, then `is_bot`.

        Those that happened in [since, until), and, where asked for, were received in [first, second) of `received`.
        """
        ...

    def received_hours(self, table: str, since: datetime, until: datetime) -> list[tuple[int, int, int]]:
        """Return (environment id, hour in which it happened, events) of what was received in [since, until).

        Hours are counted from 1970 (UTC).
        """
        ...


class EventStore(EventWriter, ExperimentReader, FlagReader, EventEraser, Protocol):
    """The whole store."""
