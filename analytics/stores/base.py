"""What an event store does, and the frozen summaries it answers with."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple, Protocol

from analytics.enrichment.enrichment import EnrichmentRules
from analytics.event_records import Batch
from analytics.stores.distributions import Distributed, Distribution
from analytics.stores.pairs import Pairing, PairSummary, Segments

# Stretches [since, until) during which nobody new was enrolled.
Pauses = Sequence[tuple[datetime, datetime]]


@dataclass(frozen=True, slots=True)
class Stored:
    """How many of a batch's events were new; the rest had been stored before."""

    exposures: int
    conversions: int


@dataclass(frozen=True, slots=True)
class FirstExposure:
    """A unit's first exposure in an experiment; a crossover saw more than one variant."""

    unit_id: str
    variant: str
    first_at: datetime
    is_crossover: bool


@dataclass(frozen=True, slots=True)
class ExposureSummary:
    """Units of one experiment in [since, until), each counted once, on the UTC day of its first exposure.

    `users` and `daily` leave out crossovers and bots. `crossovers` are units that saw several variants, split by the
    first in `crossovers_by_first_variant`; `bots` are units all of whose exposures here are flagged.
    """

    users: Mapping[str, int] = field(default_factory=dict)
    daily: list[tuple[date, dict[str, int]]] = field(default_factory=list)
    crossovers: int = 0
    crossovers_by_first_variant: Mapping[str, int] = field(default_factory=dict)
    bots: int = 0


@dataclass(frozen=True, slots=True)
class BinarySummary:
    """Of `users`, how many converted; `late` are events of theirs that came after the deadline and do not count."""

    users: int
    conversions: int
    late: int = 0


@dataclass(frozen=True, slots=True)
class ValueSummary:
    """Sums over users of y = the user's total value and c = the user's number of events; a user without events adds 0.

    Values count in whole millionths, so that the sums are exact and the same on every store.
    `n` users. y² is summed after the user's total: sums add over users, never over days.
    """

    n: int
    sum: float
    sum_of_squares: float
    count: int
    count_sum_of_squares: int
    late: int = 0

    @classmethod
    def from_micros(  # noqa: PLR0917 - the columns of one row of the stores' queries
        cls, n: int, total: int | Decimal, squares: int | Decimal, count: int, count_squares: int, late: int
    ) -> "ValueSummary":
        """From sums of millionths (and of their squares), rounded to floats once and at the end."""
        return cls(
            n=n,
            sum=float(Fraction(int(total), 10**6)),
            sum_of_squares=float(Fraction(int(squares), 10**12)),
            count=count,
            count_sum_of_squares=count_squares,
            late=late,
        )


@dataclass(frozen=True, slots=True)
class FlagExposures:
    """All exposures of a flag to one variant, bots left out, and the units behind them."""

    exposures: int
    users: int


def full_millisecond(moment: datetime) -> datetime:
    """Up to the next one: events happen at whole milliseconds, so the same ones come before it as before `moment`."""
    return moment + timedelta(microseconds=-moment.microsecond % 1000)


@dataclass(frozen=True, slots=True)
class Period:
    """The units and the time an analysis is about: first exposures in [since, until), in one experiment.

    Units first exposed during one of the `pauses` are left out, whenever they were seen again. Bots are counted all
    the same.
    """

    environment_id: int
    experiment: str
    since: datetime
    until: datetime | None
    pauses: Pauses = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "since", full_millisecond(self.since))
        object.__setattr__(self, "until", full_millisecond(self.until) if self.until else None)
        pauses = sorted((full_millisecond(since), full_millisecond(until)) for since, until in self.pauses)
        object.__setattr__(self, "pauses", tuple(pause for pause in pauses if pause[0] < pause[1]))


@dataclass(frozen=True, slots=True)
class Counting:
    """Which of a unit's events count: from t0 on, within `window` of it, before until + grace and received by then."""

    event_name: str
    window: timedelta | None
    grace: timedelta


class EventRow(NamedTuple):
    """One event of a unit; a tuple, since an analysis may read millions of them."""

    unit_id: str
    occurred_at: datetime
    received_at: datetime
    value: float | None


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of one environment, by the id it is stored under."""

    environment_id: int
    unit_id: str


@dataclass(frozen=True, slots=True)
class Reflag:
    """The flag that a unit's events with one user agent are to have."""

    environment_id: int
    unit_id: str
    user_agent: str | None
    is_bot: bool


@dataclass(frozen=True, slots=True)
class Erased:
    """How many raw events an erasure took away."""

    exposures: int
    conversions: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """What retention took away: of which table, whose, and how many rows (of whole partitions: an estimate)."""

    table: str
    whose: str
    rows: int

    def __str__(self) -> str:
        return f"{self.table}: {self.whose}, {self.rows:,} rows"


def summarise_exposures(rows: list[tuple[Any, ...]], bots: int) -> ExposureSummary:
    """From (day, first variant, is crossover, units), ordered by day."""
    users: dict[str, int] = {}
    daily: dict[Any, dict[str, int]] = {}
    crossed: dict[str, int] = {}
    for day, variant, is_crossover, count in rows:
        if is_crossover:
            crossed[variant] = crossed.get(variant, 0) + count
            continue
        users[variant] = users.get(variant, 0) + count
        daily.setdefault(day, {})[variant] = count
    return ExposureSummary(
        users=users,
        daily=sorted(daily.items()),
        crossovers=sum(crossed.values()),
        crossovers_by_first_variant=crossed,
        bots=bots,
    )


class EventStore(Protocol):
    """Writes are idempotent per event id and environment, so at-least-once delivery counts once."""

    def write(self, batch: Batch) -> Stored:
        """Store a batch whole or not at all."""
        ...

    def forget(self) -> None:
        """Forget whatever the process remembers of the tables, for correctness after they changed behind its back."""
        ...

    def reclassify(self, rules: EnrichmentRules, progress: Callable[[int, int], None]) -> tuple[int, int]: ...

    def reflag_units(self, found: Sequence[Unit]) -> int: ...

    def erase_units(self, erased: Sequence[Unit]) -> Erased: ...

    def make_pseudonymous(self, environment_id: int, key: bytes) -> None: ...

    def drop_before(self, cuts: Mapping[int, datetime], *, dry_run: bool) -> Iterator[Dropped]: ...

    def merge_hours(self, before: Mapping[int, datetime]) -> None: ...

    def raw_events(self, units: Sequence[Unit]) -> Iterator[dict[str, Any]]:
        """Yield everything stored about the units, exposures first, in order of time."""
        ...

    def fast_units(self, since: datetime, exposures_per_hour: int) -> list[tuple[Unit, int]]:
        """Return units with more exposures than that in some hour of those received since, and the most they had."""
        ...

    def open_phase(self, environment_id: int, experiment: str, started_at: datetime) -> None: ...

    def first_exposures(self, period: Period) -> Iterator[FirstExposure]: ...

    def exposure_summary(self, period: Period) -> ExposureSummary: ...

    def binary_summary(self, period: Period, counting: Counting) -> dict[str, BinarySummary]: ...

    def value_summary(self, period: Period, counting: Counting) -> dict[str, ValueSummary]: ...

    def keep_sums(self, period: Period, counting: Counting) -> int:
        """Sum up days of first exposures that are over but not kept, or no longer hold; return how many those were.

        Both summaries are the same before and after; after, they need not look at those days' units again.
        """
        ...

    def pair_summary(self, period: Period, pairing: Pairing) -> dict[str, PairSummary]: ...

    def distribution(self, period: Period, distribution: Distribution) -> dict[str, Distributed]: ...

    def keep_distribution(self, period: Period, distribution: Distribution) -> int:
        """As `keep_sums`, for what `distribution` answers."""
        ...

    def segment_summary(self, period: Period, pairing: Pairing, attribute: str) -> Segments:
        """As `pair_summary`, by the text, number or boolean of that name that the first exposure with one carried."""
        ...

    def keep_segments(self, period: Period, pairing: Pairing, attribute: str) -> int:
        """As `keep_sums`, for what `segment_summary` answers."""
        ...

    def keep_pairs(self, period: Period, pairing: Pairing) -> int:
        """As `keep_sums`, for what `pair_summary` answers."""
        ...

    def flag_exposures(
        self, environment_id: int, flag_key: str, since: datetime | None, until: datetime | None
    ) -> dict[str, FlagExposures]: ...

    def fold_flag_days(self, since: datetime | None = None, until: datetime | None = None) -> int:
        """Prepare each flag's days that are over, in [since, until) alone if given, and return how many had to be.

        `flag_exposures` is the same before and after; after, it need not look at those days' exposures again.
        """
        ...

    def recent_units(self, environment_id: int, flag_key: str, since: datetime, limit: int) -> list[tuple[str, str]]:
        """(unit, the variant it saw last), for at most `limit` units seen since, the latest first."""
        ...

    def recent_attributes(
        self, environment_id: int, flag_key: str, since: datetime, most_exposures: int
    ) -> dict[str, dict[str, Any]]:
        """What units carried at their last exposure to the flag that kept attributes, bots left out.

        Looks at the installation's latest `most_exposures` exposures, by their ids, and no further back than `since`.
        """
        ...

    def latest_attributes(
        self, environment_id: int, since: datetime, most_exposures: int, limit: int
    ) -> list[tuple[str, dict[str, Any]]]:
        """(unit, what it carried) of the environment's latest exposures that kept attributes, the latest first.

        Looks no further back than `since`, and may leave out what is not among the installation's latest exposures.
        """
        ...

    def last_exposures(self, environment_id: int, flag_keys: Sequence[str]) -> dict[str, datetime]:
        """The UTC hour of each flag's last exposure; flags that never had one are left out."""
        ...

    def events(
        self, environment_id: int, event_name: str, since: datetime, until: datetime | None, value_property: str
    ) -> Iterator[EventRow]:
        """Yield events of one name in [since, until), bots left out, in the order of their ids.

        With `value_property` a number of that name in the event's properties is its value.
        """
        ...

    def event_counts(self, environment_id: int, event_name: str, since: datetime) -> tuple[int, int]:
        """Events of one name since then and the units behind them, bots left out."""
        ...

    def flag_units(
        self, environment_id: int, flag_key: str, since: datetime, until: datetime
    ) -> Iterator[tuple[str, datetime]]:
        """Yield each unit that saw the flag in [since, until) with when it first did, bots left out, by unit."""
        ...

    def attribute_values(self, period: Period, name: str) -> Iterator[tuple[str, Any]]:
        """Yield each unit with the text, number or boolean of that name its first exposure that had one carried."""
        ...

    def bots_first_seen(self, period: Period) -> dict[str, int]:
        """Units all of whose exposures are bots', by the variant they saw first; in a pause nobody counts."""
        ...

    def raw_rows(
        self, table: str, environment_id: int, since: datetime | None, until: datetime | None
    ) -> Iterator[tuple[Any, ...]]:
        """Yield stored events, bots' too, in no order: the fields of `analytics.event_records`, then `is_bot`."""
        ...

    def last_received(self, period: Period, event_names: Sequence[str], deadline: datetime) -> datetime | None:
        """When the youngest of the period's exposures, and of those events since its start, was received."""
        ...
