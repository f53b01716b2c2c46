"""What a batch may change in the derived tables, computed in memory before PostgreSQL is asked.

States only ever move one way: a first exposure moves to an earlier time, and a unit stays in an hour's sketch. So an
event that changes nothing in a committed state changes nothing in the table, whoever else writes to it. In steady state
that is nearly every event. Knowing less than what is committed does no harm: an event that changes nothing in a part of
the events seen changes nothing in all of them. So several threads may share what is known.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from operator import itemgetter
from typing import Any, Generic, TypeVar

from analytics.event_records import ExposureEvent
from analytics.stores.postgres.event_copy import instant

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The phase before an experiment's first registered one.
FIRST_PHASE = EPOCH
FIRST_PHASE_MS = 0

# The first variant and its time, the time of another variant, then the first exposure as a bot and its variant. Times
# are Unix milliseconds.
UnitState = tuple[str | None, int | None, int | None, int | None, str | None]
_NOTHING: UnitState = (None, None, None, None, None)
ExperimentKey = tuple[int, str, int]
FlagKey = tuple[int, str, str]
Phases = Mapping[tuple[int, str], list[int]]

# The unit of a row of `Changes.unit_rows`, in the order of sql.MERGE_UNITS.
unit_of = itemgetter(3, 0, 1, 2)

State = TypeVar("State")
Key = TypeVar("Key")


class Remembered(Generic[Key, State]):
    """Committed states of the units met lately, by group. Two generations bound it at about twice `capacity` units."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._size = 0
        self._recent: dict[Key, dict[str, State]] = {}
        self._old: dict[Key, dict[str, State]] = {}

    def groups(self, key: Key) -> tuple[dict[str, State], dict[str, State]]:
        empty: dict[str, State] = {}
        return self._recent.get(key, empty), self._old.get(key, empty)

    def update(self, key: Key, states: dict[str, State]) -> None:
        group = self._recent.setdefault(key, {})
        before = len(group)
        group.update(states)
        self._size += len(group) - before
        if self._size > self._capacity:
            self._old, self._recent, self._size = self._recent, {}, 0

    def clear(self) -> None:
        self._recent, self._old, self._size = {}, {}, 0


def phase_of(phases: Phases, environment_id: int, experiment: str, occurred_ms: int) -> int:
    """Return the start (Unix ms) of the phase of an exposure. `phases` are the registered starts in order."""
    starts = phases.get((environment_id, experiment))
    if not starts:
        return FIRST_PHASE_MS
    place = bisect_right(starts, occurred_ms)
    return starts[place - 1] if place else FIRST_PHASE_MS


def with_event(state: UnitState, variant: str, occurred_ms: int, *, is_bot: bool) -> UnitState:
    """Return the state after one more exposure. At equal instants the variant that sorts first is the first."""
    first_variant, first_ms, crossed_ms, bot_ms, bot_variant = state
    if is_bot:
        if bot_ms is None or bot_variant is None or (occurred_ms, variant) < (bot_ms, bot_variant):
            bot_ms, bot_variant = occurred_ms, variant
    elif first_variant is None or first_ms is None:
        first_variant, first_ms = variant, occurred_ms
    elif variant == first_variant:
        first_ms = min(first_ms, occurred_ms)
    elif (occurred_ms, variant) < (first_ms, first_variant):
        # The former first is the earliest exposure to another variant than the new one.
        first_variant, first_ms, crossed_ms = variant, occurred_ms, first_ms
    else:
        crossed_ms = occurred_ms if crossed_ms is None else min(crossed_ms, occurred_ms)
    return first_variant, first_ms, crossed_ms, bot_ms, bot_variant


# What this batch changes, then the two generations of what is remembered.
_Layers = tuple[dict[str, State], dict[str, State], dict[str, State]]


@dataclass(slots=True)
class _Kind:
    """What exposures of one flag, variant, experiment and reason share. `states` is for experiments with one phase."""

    environment_id: int
    experiment: str | None
    # One hour of each unit, and units by hours since the epoch.
    hours: _Layers[int]
    seen: dict[int, set[str]]
    # By hours since the epoch.
    exposures: dict[int, int] = field(default_factory=dict)
    bots: dict[int, int] = field(default_factory=dict)
    states: _Layers[UnitState] | None = None
    by_phase: dict[int, _Layers[UnitState]] = field(default_factory=dict)


class Changes:
    """States that one batch may change. `commit` remembers them once the batch's transaction has committed."""

    def __init__(
        self, experiments: Remembered[ExperimentKey, UnitState], flags: Remembered[FlagKey, int], phases: Phases
    ) -> None:
        self._experiments, self._flags, self._phases = experiments, flags, phases
        # For each environment, the flags of its experiments.
        self.experiment_flags: set[tuple[int, str, str]] = set()
        self.units: dict[ExperimentKey, dict[str, UnitState]] = {}
        # Units that are not known to be in the hour's sketch.
        self._seen: dict[FlagKey, dict[int, set[str]]] = {}
        self._last_hours: dict[FlagKey, dict[str, int]] = {}
        self._kinds: dict[tuple[int, str, str, str | None, str], _Kind] = {}

    def take(self, events: Iterable[tuple[ExposureEvent, bool]]) -> None:
        """Work through exposures, each with whether it is a bot's."""
        kinds = self._kinds
        for event, is_bot in events:
            variant, experiment = event.variant, event.experiment
            # What events of one kind share is looked up once, because this runs for every stored event.
            wanted = (event.environment_id, event.flag_key, variant, experiment, event.reason)
            kind = kinds.get(wanted)
            if kind is None:
                kind = kinds[wanted] = self._kind(*wanted[:4])
            unit_id, occurred_ms = event.unit_id, event.occurred_ms
            hour = occurred_ms // HOUR_MS
            counted = kind.bots if is_bot else kind.exposures
            counted[hour] = counted.get(hour, 0) + 1
            if not is_bot:
                hours, recent_hours, old_hours = kind.hours
                if (hours.get(unit_id) or recent_hours.get(unit_id) or old_hours.get(unit_id)) != hour:
                    hours[unit_id] = hour
                    seen = kind.seen.get(hour)
                    if seen is None:
                        kind.seen[hour] = {unit_id}
                    else:
                        seen.add(unit_id)
            if experiment is None:
                continue
            states = kind.states
            if states is None:
                states = self._states(phase_of(self._phases, wanted[0], experiment, occurred_ms), kind)
            pending, recent, old = states
            known = pending.get(unit_id) or recent.get(unit_id) or old.get(unit_id) or _NOTHING
            if known[0] == variant and not is_bot and occurred_ms >= known[1]:  # type: ignore[operator]  # a variant has a time
                continue
            state = with_event(known, variant, occurred_ms, is_bot=is_bot)
            if state != known:
                pending[unit_id] = state
        self.units = {key: states for key, states in self.units.items() if states}

    def _kind(self, environment_id: int, flag_key: str, variant: str, experiment: str | None) -> "_Kind":
        flag = (environment_id, flag_key, variant)
        kind = _Kind(
            environment_id,
            experiment,
            (self._last_hours.setdefault(flag, {}), *self._flags.groups(flag)),
            self._seen.setdefault(flag, {}),
        )
        if experiment is not None:
            self.experiment_flags.add((environment_id, experiment, flag_key))
        if experiment is not None and not self._phases.get((environment_id, experiment)):
            kind.states = self._states(FIRST_PHASE_MS, kind)
        return kind

    def _states(self, phase_ms: int, kind: "_Kind") -> "_Layers[UnitState]":
        found = kind.by_phase.get(phase_ms)
        if found is None:
            key = (kind.environment_id, kind.experiment or "", phase_ms)
            found = kind.by_phase[phase_ms] = (self.units.setdefault(key, {}), *self._experiments.groups(key))
        return found

    def unit_rows(self) -> list[tuple[Any, ...]]:
        """Return rows in the columns of sql.STAGED_UNITS."""
        rows: list[tuple[Any, ...]] = []
        for (environment_id, experiment, phase_ms), states in self.units.items():
            phase = instant(phase_ms)
            for unit_id, (variant, first_ms, crossed_ms, bot_ms, bot_variant) in states.items():
                first_at = None if first_ms is None else instant(first_ms)
                crossed_at = None if crossed_ms is None else instant(crossed_ms)
                bot_at = None if bot_ms is None else instant(bot_ms)
                unit = (environment_id, experiment, phase, unit_id)
                rows.append((*unit, variant, first_at, crossed_at, bot_at, bot_variant, bot_at))
        return rows

    def is_any_unit_known(self) -> bool:
        """Return whether the table certainly has one of the units."""
        for key, states in self.units.items():
            for known in self._experiments.groups(key):
                # Of two views of keys, the shorter one is walked.
                if known and not states.keys().isdisjoint(known.keys()):
                    return True
        return False

    def cohort_steps(self) -> list[tuple[int, str, datetime, date, str, int, int]]:
        """Return the rows that sql.MERGE_UNITS answers with if all units are new."""
        steps: list[tuple[int, str, datetime, date, str, int, int]] = []
        for (environment_id, experiment, phase_ms), states in self.units.items():
            phase = EPOCH + timedelta(milliseconds=phase_ms)
            counts = Counter(
                (first_ms // DAY_MS, variant) for variant, first_ms, *_ in states.values() if first_ms is not None
            )
            for (day, variant), units in counts.items():
                date_of_day = (EPOCH + timedelta(days=day)).date()
                steps.append((environment_id, experiment, phase, date_of_day, variant or "", units, units))
        return steps

    def units_by_hour(self) -> dict[tuple[int, str, datetime, str], set[str]]:
        """Return the units to add to the sketches of hours."""
        return {
            (environment_id, flag_key, EPOCH + timedelta(hours=hour), variant): units
            for (environment_id, flag_key, variant), hours in self._seen.items()
            for hour, units in hours.items()
        }

    def hour_counts(self) -> list[tuple[int, str, datetime, str, str, int, int]]:
        """Return the counts of the events taken, as sql.INSERT_EXPOSURES does."""
        counts: dict[tuple[int, str, int, str, str], tuple[int, int]] = {}
        for (environment_id, flag_key, variant, _, reason), kind in self._kinds.items():
            for hour in kind.exposures.keys() | kind.bots.keys():
                key = (environment_id, flag_key, hour, variant, reason)
                exposures, bots = counts.get(key, (0, 0))
                counts[key] = exposures + kind.exposures.get(hour, 0), bots + kind.bots.get(hour, 0)
        return [
            (environment_id, flag_key, EPOCH + timedelta(hours=hour), variant, reason, exposures, bots)
            for (environment_id, flag_key, hour, variant, reason), (exposures, bots) in counts.items()
        ]

    def commit(self) -> None:
        for key, states in self.units.items():
            self._experiments.update(key, states)
        for flag, hours in self._last_hours.items():
            self._flags.update(flag, hours)
