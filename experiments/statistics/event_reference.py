"""The reference for the figures that the event stores compute from events in SQL.

It takes one phase at a time. Bots and users with several variants are left out and counted. Each user has one row from
the first exposure on. Events count once per id, within the conversion window, if they are received in time.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from experiments.statistics.srm import CROSSOVER_WARNING_SHARE, SrmTest, srm_test
from experiments.statistics.summaries import Moments, Proportion

CONVERSION_WINDOW = timedelta(days=7)
LATE_ALLOWANCE = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class ReferenceExposure:
    user: str
    variant: str
    time: datetime


@dataclass(frozen=True, slots=True)
class ReferenceConversion:
    """An event; `value` None is 0 for sums, and still converts its user."""

    event_id: str
    user: str
    time: datetime
    value: float | None
    received: datetime


@dataclass(frozen=True, slots=True)
class ReferencePhase:
    """Exposures in [start, end) count; a changed split, targeting or salt opens another phase."""

    start: datetime
    end: datetime
    variants: tuple[str, ...]
    weights: tuple[float, ...]
    window: timedelta | None = CONVERSION_WINDOW
    late: timedelta = LATE_ALLOWANCE

    @property
    def freezes_at(self) -> datetime:
        return self.end + self.late


@dataclass(frozen=True, slots=True)
class ArmTotals:
    """A variant's users, those who converted, and the sum and sum of squares of the users' totals."""

    variant: str
    n: int
    converted: int
    total: float
    squares: float
    moments: Moments

    @property
    def proportion(self) -> Proportion:
        return Proportion(self.converted, self.n)


@dataclass(frozen=True, slots=True)
class Crossovers:
    """Users seen in more than one variant; `first_variant` tests whether their first variants follow the split."""

    n: int
    share: float | None
    is_warning: bool
    first_variant: SrmTest


@dataclass(frozen=True, slots=True)
class PhaseTotals:
    """`arms` to analyse; `intention_to_treat` adds the crossovers under their first variant, as a sensitivity check."""

    arms: tuple[ArmTotals, ...]
    intention_to_treat: tuple[ArmTotals, ...]
    crossovers: Crossovers
    n_bots: int
    n_late_events: int
    n_repeated_events: int
    n_incomplete: int
    n_unknown_variant: int
    srm: SrmTest
    srm_with_bots: SrmTest


@dataclass(slots=True)
class _User:
    first: datetime
    variant: str
    variants: set[str] = field(default_factory=set)


def analyse_phase(
    exposures: Iterable[ReferenceExposure],
    conversions: Iterable[ReferenceConversion],
    phase: ReferencePhase,
    bots: AbstractSet[str] = frozenset(),
    *,
    complete_by: datetime | None = None,
) -> PhaseTotals:
    """Totals per variant of one phase for one metric.

    An event counts for its user when t0 <= time < min(t0 + window, freeze) and received < freeze, t0 the user's first
    exposure in the phase and freeze = end + late; of an event id seen twice the copy received first. `complete_by`
    leaves out users whose window is still open then: sequential decisions look at complete users only.
    Source: Kohavi, Tang and Xu 2020, Trustworthy Online Controlled Experiments, ch. 3 and 21.
    """
    users = _first_exposures(exposures, phase)
    known = set(phase.variants)
    strangers = {name for name, user in users.items() if not user.variants <= known}
    counted = {name: user for name, user in users.items() if name not in bots and name not in strangers}
    crossed = {name for name, user in counted.items() if len(user.variants) > 1}
    is_open = _open_users(counted, phase, complete_by)
    totals, late, repeated = _user_totals(conversions, counted, phase)

    def arms(names: Iterable[str]) -> tuple[ArmTotals, ...]:
        by_variant: dict[str, list[str]] = {variant: [] for variant in phase.variants}
        for name in names:
            by_variant[counted[name].variant].append(name)
        return tuple(_arm(variant, members, totals) for variant, members in by_variant.items())

    included = [name for name in counted if name not in is_open]
    steady = [name for name in included if name not in crossed]
    share = len(crossed) / len(counted) if counted else None
    return PhaseTotals(
        arms=arms(steady),
        intention_to_treat=arms(included),
        crossovers=Crossovers(
            n=len(crossed),
            share=share,
            is_warning=share is not None and share > CROSSOVER_WARNING_SHARE,
            first_variant=_split(phase, [counted[name].variant for name in crossed]),
        ),
        n_bots=sum(name in bots for name in users),
        n_late_events=late,
        n_repeated_events=repeated,
        n_incomplete=len(is_open),
        n_unknown_variant=sum(name not in bots for name in strangers),
        srm=_split(phase, [counted[name].variant for name in counted if name not in crossed]),
        srm_with_bots=_split(
            phase, [user.variant for name, user in users.items() if len(user.variants) == 1 and name not in strangers]
        ),
    )


def _first_exposures(exposures: Iterable[ReferenceExposure], phase: ReferencePhase) -> dict[str, _User]:
    users: dict[str, _User] = {}
    for exposure in exposures:
        if not phase.start <= exposure.time < phase.end:
            continue
        user = users.setdefault(exposure.user, _User(exposure.time, exposure.variant))
        user.variants.add(exposure.variant)
        if exposure.time < user.first:
            user.first, user.variant = exposure.time, exposure.variant
    return users


def _open_users(counted: dict[str, _User], phase: ReferencePhase, complete_by: datetime | None) -> set[str]:
    if complete_by is None:
        return set()
    return {name for name, user in counted.items() if _closes_at(user, phase) > complete_by}


def _closes_at(user: _User, phase: ReferencePhase) -> datetime:
    return phase.freezes_at if phase.window is None else min(user.first + phase.window, phase.freezes_at)


def _user_totals(
    conversions: Iterable[ReferenceConversion], users: dict[str, _User], phase: ReferencePhase
) -> tuple[dict[str, float], int, int]:
    """Total per user with at least one counted event, late events of exposed users, and repeated copies."""
    totals: dict[str, float] = {}
    seen: set[str] = set()
    late = repeated = 0
    for event in sorted(conversions, key=lambda event: event.received):
        if event.event_id in seen:
            repeated += 1
            continue
        seen.add(event.event_id)
        user = users.get(event.user)
        if user is None or not user.first <= event.time < _closes_at(user, phase):
            continue
        if event.received >= phase.freezes_at:
            late += 1
            continue
        totals[event.user] = totals.get(event.user, 0.0) + (event.value or 0.0)
    return totals, late, repeated


def _arm(variant: str, members: Sequence[str], totals: dict[str, float]) -> ArmTotals:
    values = [totals.get(name, 0.0) for name in members]
    return ArmTotals(
        variant=variant,
        n=len(members),
        converted=sum(name in totals for name in members),
        total=sum(values),
        squares=sum(value * value for value in values),
        moments=Moments.from_values(values),
    )


def _split(phase: ReferencePhase, first_variants: Sequence[str]) -> SrmTest:
    return srm_test([first_variants.count(variant) for variant in phase.variants], phase.weights)
