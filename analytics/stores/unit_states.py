"""What a batch may change in the tables kept up beside the raw events, worked out in memory before PostgreSQL is asked.

States only ever move one way (a first exposure to an earlier time, a last hour to a later one), so an event that
changes nothing in a state known to be committed changes nothing in the table, whoever else writes to it. In steady
state that is nearly every event. Knowing less than what is committed does no harm: what changes nothing in a part
of the events seen changes nothing in all of them. So several threads may share what is known.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from analytics.events import Exposure

HOUR_MS = 3_600_000
# The phase before an experiment's first registered one.
FIRST_PHASE_MS = 0

# first variant and its time, when it saw another one, its first exposure as a bot; times in Unix milliseconds
UnitState = tuple[str | None, int | None, int | None, int | None]
_NOTHING: UnitState = (None, None, None, None)
ExperimentKey = tuple[int, str, int]
FlagKey = tuple[int, str, str]
Phases = Mapping[tuple[int, str], list[int]]

State = TypeVar("State")
Key = TypeVar("Key")


class Remembered(Generic[Key, State]):
    """Committed states of the units met lately, by group; two generations bound it at about twice `capacity` units."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._size = 0
        self._young: dict[Key, dict[str, State]] = {}
        self._old: dict[Key, dict[str, State]] = {}

    def groups(self, key: Key) -> tuple[dict[str, State], dict[str, State]]:
        empty: dict[str, State] = {}
        return self._young.get(key, empty), self._old.get(key, empty)

    def update(self, key: Key, states: dict[str, State]) -> None:
        group = self._young.setdefault(key, {})
        before = len(group)
        group.update(states)
        self._size += len(group) - before
        if self._size > self._capacity:
            self._old, self._young, self._size = self._young, {}, 0

    def clear(self) -> None:
        self._young, self._old, self._size = {}, {}, 0


def phase_of(phases: Phases, environment_id: int, experiment: str, occurred_ms: int) -> int:
    """The start (Unix ms) of the phase an exposure falls into; `phases` are the registered starts in order."""
    starts = phases.get((environment_id, experiment))
    if not starts:
        return FIRST_PHASE_MS
    place = bisect_right(starts, occurred_ms)
    return starts[place - 1] if place else FIRST_PHASE_MS


def with_event(state: UnitState, variant: str, occurred_ms: int, *, is_bot: bool) -> UnitState:
    """The state after one more exposure; at equal instants the variant that sorts first is the first."""
    first_variant, first_ms, crossed_ms, bot_ms = state
    if is_bot:
        return first_variant, first_ms, crossed_ms, occurred_ms if bot_ms is None else min(bot_ms, occurred_ms)
    if first_variant is None or first_ms is None:
        return variant, occurred_ms, None, bot_ms
    if variant == first_variant:
        return variant, min(first_ms, occurred_ms), crossed_ms, bot_ms
    if (occurred_ms, variant) < (first_ms, first_variant):
        # The former first is the earliest exposure to another variant than the new one.
        return variant, occurred_ms, first_ms, bot_ms
    return first_variant, first_ms, occurred_ms if crossed_ms is None else min(crossed_ms, occurred_ms), bot_ms


class Changes:
    """States that one batch may change; `commit` remembers them once the batch's transaction has committed."""

    def __init__(
        self, experiments: Remembered[ExperimentKey, UnitState], flags: Remembered[FlagKey, int], phases: Phases
    ) -> None:
        self._experiments, self._flags, self._phases = experiments, flags, phases
        self.units: dict[ExperimentKey, dict[str, UnitState]] = {}
        self.last_hours: dict[FlagKey, dict[str, int]] = {}

    def take(self, events: Iterable[tuple[Exposure, bool]]) -> None:
        """Work through exposures with whether each is a bot's."""
        hour_groups: dict[FlagKey, tuple[dict[str, int], dict[str, int], dict[str, int]]] = {}
        for event, is_bot in events:
            unit_id, occurred_ms = event.unit_id, event.occurred_ms
            if not is_bot:
                flag = (event.environment_id, event.flag_key, event.variant)
                groups = hour_groups.get(flag)
                if groups is None:
                    groups = hour_groups[flag] = ({}, *self._flags.groups(flag))
                pending, young, old = groups
                hour = occurred_ms // HOUR_MS
                known = pending.get(unit_id)
                if known is None:
                    known = young.get(unit_id)
                    if known is None:
                        known = old.get(unit_id)
                if known is None or hour > known:
                    pending[unit_id] = hour
            if event.experiment is not None:
                self._take_experiment(event, event.experiment, is_bot=is_bot)
        self.last_hours = {flag: groups[0] for flag, groups in hour_groups.items() if groups[0]}

    def _take_experiment(self, event: Exposure, experiment: str, *, is_bot: bool) -> None:
        unit_id, occurred_ms = event.unit_id, event.occurred_ms
        phase_ms = phase_of(self._phases, event.environment_id, experiment, occurred_ms)
        key = (event.environment_id, experiment, phase_ms)
        pending = self.units.get(key)
        known = pending.get(unit_id) if pending else None
        if known is None:
            young, old = self._experiments.groups(key)
            known = young.get(unit_id) or old.get(unit_id) or _NOTHING
        if known[0] == event.variant and not is_bot and occurred_ms >= known[1]:  # type: ignore[operator]  # a variant has a time
            return
        state = with_event(known, event.variant, occurred_ms, is_bot=is_bot)
        if state != known:
            self.units.setdefault(key, {})[unit_id] = state

    def unit_rows(self) -> Iterator[tuple[int, str, int, str, str | None, int | None, int | None, int | None]]:
        for (environment_id, experiment, phase_ms), states in self.units.items():
            for unit_id, state in states.items():
                yield environment_id, experiment, phase_ms, unit_id, *state

    def hour_rows(self) -> Iterator[tuple[int, str, str, str, int]]:
        for (environment_id, flag_key, variant), hours in self.last_hours.items():
            for unit_id, hour in hours.items():
                yield environment_id, flag_key, variant, unit_id, hour * HOUR_MS

    def commit(self) -> None:
        for key, states in self.units.items():
            self._experiments.update(key, states)
        for flag, hours in self.last_hours.items():
            self._flags.update(flag, hours)
