"""What a rule that cannot be carried over means for the rest: whether somebody would get more without it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

NARROWED = "It is imported switched off, because what is left out might deny it to somebody."


def widens(given: Collection[str], later: Collection[str], denied: Collection[str]) -> bool:
    """Whether those who lose a rule get more: something later gives neither what it gave nor what denies."""
    return any(variant not in given and variant not in denied for variant in later)


@dataclass(slots=True)
class Segments:
    """Keys of imported segments that match fewer, or more, than they did."""

    fewer: set[str] = field(default_factory=set)
    more: set[str] = field(default_factory=set)

    def spread(self, trees: Mapping[str, Any]) -> None:
        """A segment that asks for such a segment is one as well."""
        is_new = True
        while is_new:
            before = len(self.fewer) + len(self.more)
            for key, tree in trees.items():
                if self.matches_fewer([tree]):
                    self.fewer.add(key)
                if self.matches_more([tree]):
                    self.more.add(key)
            is_new = len(self.fewer) + len(self.more) > before

    def matches_fewer(self, conditions: Iterable[Any]) -> bool:
        return any(_asks(node, self.fewer, self.more) for node in conditions)

    def matches_more(self, conditions: Iterable[Any]) -> bool:
        return any(_asks(node, self.more, self.fewer) for node in conditions)


def _asks(node: Any, positive: set[str], negative: set[str]) -> bool:
    """Whether a tree asks for a segment of `positive`, or whether somebody is not in one of `negative`."""
    if isinstance(node, list):
        return any(_asks(inner, positive, negative) for inner in node)
    if not isinstance(node, Mapping):
        return False
    if "not" in node:
        return _asks(node["not"], negative, positive)
    if "all" in node or "any" in node:
        return _asks(node.get("all") or node.get("any"), positive, negative)
    asked = {"in_segment": positive, "not_in_segment": negative}.get(str(node.get("operator")))
    # Segments are named by text; what an operator of another kind compares with may be anything.
    return asked is not None and not asked.isdisjoint(node.get("value") or ())
