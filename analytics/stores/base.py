"""What an event store is asked about, and the frozen summaries that it answers with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

# Stretches [since, until) during which no new unit was enrolled.
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
class FlagExposures:
    """All exposures of a flag to one variant, bots left out, and the units behind them.

    `relative_error` is the standard error of `users`, as a share of it; None: they are exact.
    """

    exposures: int
    users: int
    relative_error: float | None = field(default=None, compare=False)


def full_millisecond(moment: datetime) -> datetime:
    """Round up to a whole millisecond. Events happen at whole milliseconds, so the same ones come before it."""
    return moment + timedelta(microseconds=-moment.microsecond % 1000)


@dataclass(frozen=True, slots=True)
class Period:
    """The units and the time of an analysis: first exposures in [since, until), in one experiment.

    Units that were first exposed during one of the `pauses` are left out, whenever they were seen again. So are the
    units in `left_out`, by their stored ids. Bots are counted all the same. From `next_phase` on, a unit's events count
    until it is exposed anew.
    """

    environment_id: int
    experiment: str
    since: datetime
    until: datetime | None
    pauses: Pauses = ()
    next_phase: datetime | None = None
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "since", full_millisecond(self.since))
        object.__setattr__(self, "until", full_millisecond(self.until) if self.until else None)
        object.__setattr__(self, "next_phase", full_millisecond(self.next_phase) if self.next_phase else None)
        pauses = sorted((full_millisecond(since), full_millisecond(until)) for since, until in self.pauses)
        object.__setattr__(self, "pauses", tuple(pause for pause in pauses if pause[0] < pause[1]))


class EventRow(NamedTuple):
    """One event of a unit. It is a tuple, because an analysis may read millions of them."""

    unit_id: str
    occurred_at: datetime
    received_at: datetime
    value: float | None


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of one environment, by the id under which it is stored."""

    environment_id: int
    unit_id: str


@dataclass(frozen=True, slots=True)
class Reflag:
    """The bot flag that a unit's events with one user agent are to have."""

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
    """What retention deleted: of which table, whose, and how many rows; of whole partitions an estimate."""

    table: str
    whose: str
    rows: int

    def __str__(self) -> str:
        return f"{self.table}: {self.whose}, {self.rows:,} rows"


def summarise_exposures(rows: list[tuple[Any, ...]], bots: int) -> ExposureSummary:
    """Sum up rows of (day, first variant, is crossover, units), ordered by day."""
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
