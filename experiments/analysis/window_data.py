"""Where the figures of one window come from: the event store's sums, or its units one by one."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime

from analytics import selectors as events
from experiments.analysis.targeted import targeted_units
from experiments.analysis.units import Units
from experiments.analysis.window import Window
from experiments.definitions import Plan, plan_of
from experiments.models import Experiment


@dataclass(slots=True)
class WindowData:
    """One experiment's data in one window. Units are read one by one only where something needs them, and once.

    `is_narrowed`: its units are not those that the store sums up.
    """

    experiment: Experiment
    window: Window
    _units: dict[datetime, Units] = field(default_factory=dict)
    _pairs: dict[tuple[events.Pairing, datetime], Mapping[str, events.PairSummary]] = field(default_factory=dict)
    is_narrowed: bool = False
    has_crossovers: bool = False
    _plan: Plan | None = None
    _left_out: tuple[str, ...] | None = None

    @property
    def plan(self) -> Plan:
        """What the phase measures, as it was defined when the phase began."""
        if self._plan is None:
            self._plan = plan_of(self.experiment, self.window.phase)
        return self._plan

    @property
    def pauses(self) -> events.Pauses:
        """The pauses that had begun, an open one until now.

        A unit first seen during a pause is not enrolled, even if it comes back later.
        """
        now = self.window.now
        return [
            (datetime.fromisoformat(since), datetime.fromisoformat(until) if until else now)
            for since, until in self.window.phase.pauses
            if datetime.fromisoformat(since) < now
        ]

    def exposures(self) -> events.ExposureSummary:
        return events.exposure_summary(self.period())

    def pairs(self, pairing: events.Pairing, until: datetime) -> Mapping[str, events.PairSummary]:
        """Of units first exposed before `until`, by variant; read once."""
        asked = (pairing, until)
        if asked not in self._pairs:
            self._pairs[asked] = events.pair_summary(self.period(until), pairing)
        return self._pairs[asked]

    def distribution(self, asked: events.Distribution, until: datetime) -> Mapping[str, events.Distributed]:
        """Of units first exposed before `until`, by variant."""
        return events.distribution(self.period(until), asked)

    def segments(self, pairing: events.Pairing, attribute: str) -> events.Segments:
        """By the value of the attribute that the units carried, None for those without, then by variant."""
        return events.segment_summary(self.period(), events.Breakdown(pairing, attribute))

    def units(self, until: datetime | None = None) -> Units:
        """The units first exposed before `until`, which is the window's end unless given."""
        end = until or self.window.until
        if end not in self._units:
            self._units[end] = self._read_units(end)
        return self._units[end]

    def _read_units(self, until: datetime) -> Units:
        found = Units(self.experiment.environment_id, self.window.since)
        again = self._seen_again()
        for unit in events.first_exposures(self.period(until)):
            if self.has_crossovers or not unit.is_crossover:
                found.add(unit.unit_id, unit.variant, unit.first_at, again.get(unit.unit_id))
        return found

    def period(self, until: datetime | None = None) -> events.Period:
        """The window's units, or those first exposed before `until`."""
        experiment, window = self.experiment, self.window
        end = until or window.until
        return events.Period(
            experiment.environment_id,
            experiment.key,
            window.since,
            end,
            self.pauses,
            None if window.following is None else window.following.started_at,
            self.left_out,
        )

    @property
    def left_out(self) -> tuple[str, ...]:
        """Units on a single target at some time in the phase: what they saw is no matter of chance."""
        if self._left_out is None:
            self._left_out = targeted_units(self.experiment, self.window)
        return self._left_out

    def targeted(self) -> int:
        """How many of the units that took part are left out for a single target."""
        if not self.left_out:
            return 0
        counted, all_of_them = (
            events.exposure_summary(period) for period in (self.period(), replace(self.period(), left_out=()))
        )
        return _units_of(all_of_them) - _units_of(counted)

    def _seen_again(self) -> dict[str, datetime]:
        """When each unit was first exposed in the phase that follows."""
        following = self.window.following
        if following is None:
            return {}
        experiment = self.experiment
        period = events.Period(experiment.environment_id, experiment.key, following.started_at, self.window.deadline)
        return {unit.unit_id: unit.first_at for unit in events.first_exposures(period)}

    def by_first_variant(self) -> "WindowData":
        """The same window, with units that saw several variants kept in the one they saw first."""
        return WindowData(self.experiment, self.window, is_narrowed=True, has_crossovers=True)

    def narrowed(self, wanted: AbstractSet[str]) -> "WindowData":
        """The same window for some of its units alone."""
        everybody = self.units()
        some = Units(everybody.environment_id, everybody.since)
        for unit_id, place in everybody.places.items():
            if unit_id in wanted:
                some.add(unit_id, place.variant, place.first_at, place.again_at)
        return WindowData(self.experiment, self.window, _units={self.window.until: some}, is_narrowed=True)


def _units_of(found: events.ExposureSummary) -> int:
    return sum(found.users.values()) + found.crossovers
