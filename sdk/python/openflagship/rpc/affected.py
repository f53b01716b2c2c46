"""Which flags may answer otherwise once certain flags and segments have changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from openflagship.engine import CompiledEnvironment
from openflagship.engine.links import prerequisite_graph, reaching, segment_graph
from openflagship.engine.model import segment_keys_of


@dataclass(frozen=True, slots=True)
class Changes:
    """The keys of flags and segments that changed; of a whole new configuration nothing is said."""

    flags: frozenset[str] = frozenset()
    segments: frozenset[str] = frozenset()
    is_all: bool = False

    @classmethod
    def merged(cls, found: Iterable[Changes]) -> Changes:
        each = list(found)
        return cls(
            frozenset().union(*(one.flags for one in each)),
            frozenset().union(*(one.segments for one in each)),
            any(one.is_all for one in each),
        )


class Affected:
    """Remembers its last answer: every caller of an environment asks the same."""

    def __init__(self) -> None:
        self._asked: tuple[CompiledEnvironment, Changes] | None = None
        self._found: list[str] = []

    def by(self, changes: Changes, environment: CompiledEnvironment) -> list[str]:
        """The changed flags, those that use a changed segment, and those above one of them; all of it sorted."""
        if self._asked is None or self._asked[0] is not environment or self._asked[1] != changes:
            self._found = _affected(changes, environment)
            self._asked = (environment, changes)
        return self._found


def _affected(changes: Changes, environment: CompiledEnvironment) -> list[str]:
    if changes.is_all:
        return sorted(environment.flags)
    configs = {key: flag.config for key, flag in environment.flags.items() if flag.config is not None}
    found = set(changes.flags)
    if changes.segments:
        codes = (segment.code for segment in environment.segments.values())
        segments = reaching(segment_graph(code.config for code in codes if code is not None), changes.segments)
        for key, config in configs.items():
            if any(name in segments for tree in config.trees() for name in segment_keys_of(tree)):
                found.add(key)
    return sorted(reaching(prerequisite_graph(configs.values()), found))
