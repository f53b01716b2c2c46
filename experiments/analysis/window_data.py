"""Where the figures of one window come from: the event store's sums, or its units one by one."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime

from analytics import selectors as events
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
        for unit in events.first_exposures(self.period(until)):
            if self.has_crossovers or not unit.is_crossover:
                found.add(unit.unit_id, unit.variant, unit.first_at)
        return found

    def period(self, until: datetime | None = None) -> events.Period:
        """The window's units, or those first exposed before `until`."""
        experiment, window = self.experiment, self.window
        end = until or window.until
        return events.Period(experiment.environment_id, experiment.key, window.since, end, self.pauses)

    def by_first_variant(self) -> "WindowData":
        """The same window, with units that saw several variants kept in the one they saw first."""
        return WindowData(self.experiment, self.window, is_narrowed=True, has_crossovers=True)

    def narrowed(self, wanted: AbstractSet[str]) -> "WindowData":
        """The same window for some of its units alone."""
        everybody = self.units()
        some = Units(everybody.environment_id, everybody.since)
        for unit_id, place in everybody.places.items():
            if unit_id in wanted:
                some.add(unit_id, place.variant, place.first_at)
        return WindowData(self.experiment, self.window, _units={self.window.until: some}, is_narrowed=True)
