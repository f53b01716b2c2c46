"""One row per user, where the event storage cannot answer: for some of its users alone, or with crossovers among them.

Memory and time grow with the users and their events; whatever the event storage sums up by itself does not come here.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from analytics import selectors as events
from experiments.analysis.window import Window
from experiments.models import Experiment
from experiments.statistics.distributions import Floats


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a user's figures stand."""

    variant: str
    row: int
    first_at: datetime


@dataclass(frozen=True, slots=True)
class Values:
    """Of one event name, by variant: per user the sum of values, the number of events, and both from before.

    `amounts` take an event without a value for 1. `singles` are the values of the single events, each with the row of
    the user it belongs to.
    """

    sums: dict[str, Floats]
    counts: dict[str, Floats]
    amounts: dict[str, Floats]
    sums_before: dict[str, Floats]
    counts_before: dict[str, Floats]
    singles: dict[str, list[tuple[int, float]]]
    late: dict[str, int]


@dataclass(slots=True)
class People:
    """Users first exposed in [since, until) and not during a pause, each in one variant."""

    environment_id: int
    since: datetime
    size: dict[str, int] = field(default_factory=dict)
    places: dict[str, _Place] = field(default_factory=dict)

    def add(self, unit_id: str, variant: str, first_at: datetime) -> None:
        row = self.size.get(variant, 0)
        self.size[variant] = row + 1
        self.places[unit_id] = _Place(variant, row, first_at)

    def values(
        self,
        event_name: str,
        *,
        variants: Sequence[str],
        window: timedelta,
        deadline: datetime,
        before: timedelta,
        value_property: str = "",
    ) -> Values:
        """Sum up the users' events from t0 to t0 + `window`, and those of the time `before` t0."""

        def zeros() -> dict[str, Floats]:
            return {key: np.zeros(self.size.get(key, 0)) for key in variants}

        found = Values(
            zeros(), zeros(), zeros(), zeros(), zeros(), {key: [] for key in variants}, dict.fromkeys(variants, 0)
        )
        # In the order of their ids, so that floats are added up in the same order each time.
        # Whoever names a property wants sums of it, and an event without it adds nothing.
        without_value = 0.0 if value_property else 1.0
        rows = events.events(self.environment_id, event_name, self.since - before, value_property=value_property)
        for unit_id, at, received_at, value in rows:
            place = self.places.get(unit_id)
            if place is None or place.variant not in found.late:
                continue
            variant, row = place.variant, place.row
            if place.first_at <= at < place.first_at + window:
                if at >= deadline or received_at >= deadline:
                    found.late[variant] += 1
                    continue
                found.counts[variant][row] += 1
                found.amounts[variant][row] += without_value if value is None else value
                if value is not None:
                    found.sums[variant][row] += value
                    found.singles[variant].append((row, value))
            elif place.first_at - before <= at < place.first_at and received_at < deadline:
                found.counts_before[variant][row] += 1
                found.sums_before[variant][row] += value or 0.0
        return found


@dataclass(slots=True)
class Source:
    """Where a window's figures come from; users are fetched one by one only when something needs it, and once.

    `is_narrowed`: its users are not those that the storage sums up.
    """

    experiment: Experiment
    window: Window
    _people: dict[datetime, People] = field(default_factory=dict)
    is_narrowed: bool = False
    has_crossovers: bool = False

    @property
    def pauses(self) -> events.Pauses:
        """The pauses that had begun, an open one until now.

        Whoever was first seen during one is not enrolled, not even when coming back later: they had begun.
        """
        now = self.window.now
        return [
            (datetime.fromisoformat(since), datetime.fromisoformat(until) if until else now)
            for since, until in self.window.phase.pauses
            if datetime.fromisoformat(since) < now
        ]

    def exposures(self) -> events.ExposureSummary:
        asked = (self.experiment.environment_id, self.experiment.key, self.window.since, self.window.until)
        return events.exposure_summary(*asked, pauses=self.pauses)

    def people(self, until: datetime) -> People:
        if until not in self._people:
            self._people[until] = self._fetch(until)
        return self._people[until]

    def _fetch(self, until: datetime) -> People:
        experiment, since = self.experiment, self.window.since
        found = People(experiment.environment_id, since)
        units = events.first_exposures(experiment.environment_id, experiment.key, since, until, pauses=self.pauses)
        for unit in units:
            if self.has_crossovers or not unit.is_crossover:
                found.add(unit.unit_id, unit.variant, unit.first_at)
        return found

    def by_first_variant(self) -> "Source":
        """The same window, with users who saw several variants kept in the one they saw first."""
        return Source(self.experiment, self.window, is_narrowed=True, has_crossovers=True)

    def narrowed(self, units: AbstractSet[str]) -> "Source":
        """The same window for some of its users alone."""
        everybody = self.people(self.window.until)
        some = People(everybody.environment_id, everybody.since)
        for unit_id, place in everybody.places.items():
            if unit_id in units:
                some.add(unit_id, place.variant, place.first_at)
        return Source(self.experiment, self.window, {self.window.until: some}, is_narrowed=True)
