"""One row per unit, for what the event store cannot sum up: some of the units alone, or crossovers among them.

Memory and time grow with the units and their events.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from analytics import selectors as events
from experiments.statistics.distributions import Floats


@dataclass(frozen=True, slots=True)
class Place:
    """Where a unit's figures are: its variant's arrays, and the row in them. Its events count until `again_at`."""

    variant: str
    row: int
    first_at: datetime
    again_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class UnitFigures:
    """Of one event name, by variant: per unit the sum of values, the number of events, and both from before.

    `amounts` take an event without a value for 1. `event_values` are the values of the events one by one, each with
    the row of its unit.
    """

    sums: dict[str, Floats]
    counts: dict[str, Floats]
    amounts: dict[str, Floats]
    sums_before: dict[str, Floats]
    counts_before: dict[str, Floats]
    event_values: dict[str, list[tuple[int, float]]]
    late: dict[str, int]


@dataclass(slots=True)
class Units:
    """Units first exposed in [since, until) and not during a pause, each in one variant."""

    environment_id: int
    since: datetime
    size: dict[str, int] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)

    def add(self, unit_id: str, variant: str, first_at: datetime, again_at: datetime | None = None) -> None:
        row = self.size.get(variant, 0)
        self.size[variant] = row + 1
        self.places[unit_id] = Place(variant, row, first_at, again_at)

    def figures(
        self,
        event_name: str,
        *,
        variants: Sequence[str],
        window: timedelta,
        deadline: datetime,
        before: timedelta,
        value_property: str = "",
    ) -> UnitFigures:
        """Sum up the units' events from t0 to t0 + `window`, and those of the time `before` t0."""

        def zeros() -> dict[str, Floats]:
            return {key: np.zeros(self.size.get(key, 0)) for key in variants}

        found = UnitFigures(
            zeros(), zeros(), zeros(), zeros(), zeros(), {key: [] for key in variants}, dict.fromkeys(variants, 0)
        )
        # A property was named, so sums of it are wanted: an event without it adds nothing.
        without_value = 0.0 if value_property else 1.0
        # Events come in the order of their ids, so floats are added up in the same order each time.
        rows = events.events(self.environment_id, event_name, self.since - before, value_property=value_property)
        for unit_id, at, received_at, value in rows:
            place = self.places.get(unit_id)
            if place is None or place.variant not in found.late:
                continue
            if place.again_at is not None and at >= place.again_at:
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
                    found.event_values[variant].append((row, value))
            elif place.first_at - before <= at < place.first_at and received_at < deadline:
                found.counts_before[variant][row] += 1
                found.sums_before[variant][row] += value or 0.0
        return found
