"""Generates one Python function per flag or segment. The source holds structure only: names, operators, jumps.

Everything that comes from a document, keys, values, salts, ranges, is bound as an object. So no text of a user's ever
becomes code, and flags of one shape share one code object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakValueDictionary

import mmh3

from openflagship.engine.bucketing import MAX_EXACT_INTEGER
from openflagship.engine.model import All, AnyOf, Condition, Node, Not, conditions_of
from openflagship.engine.natives import PLAIN
from openflagship.engine.operators import (
    BOOLEAN,
    IN_SEGMENT,
    NOT_IN_SEGMENT,
    NUMBER,
    OPERATORS,
    TEXT,
    Members,
    kind_of,
)

_COMPARISONS: Final = {
    "greater_than": ">",
    "greater_or_equal": ">=",
    "less_than": "<",
    "less_or_equal": "<=",
}
_AFFIXES: Final = {"starts_with": "startswith", "ends_with": "endswith"}
# Leave the generated function for the general one where an attribute has an unusual type.
_GATES: Final = {
    TEXT: "if {0}.__class__ is not str and {0} is not None: return odd(c, m)",
    NUMBER: "if {0}.__class__ is not int and {0}.__class__ is not float and {0} is not None: return odd(c, m)",
    BOOLEAN: "if {0} is not True and {0} is not False and {0} is not None: return odd(c, m)",
}
# Where tests are no inline code, they know text, numbers and booleans.
_GATE: Final = "if {0}.__class__ is not str and {0}.__class__ not in {1}: return odd(c, m)"


# One factory per shape, by the hash of its source, for as long as any flag uses it.
_FACTORIES: WeakValueDictionary[bytes, Callable[..., Any]] = WeakValueDictionary()


def _factory(source: str) -> Callable[..., Any]:
    shape = mmh3.hash_bytes(source)
    factory = _FACTORIES.get(shape)
    if factory is None:
        namespace: dict[str, Any] = {}
        exec(compile(source, "<openflagship>", "exec"), namespace)  # noqa: S102 structure only, no user text: see above
        # Two threads may both get here; the two factories are equal.
        factory = _FACTORIES[shape] = namespace["make"]
    return factory


@dataclass(frozen=True, slots=True)
class Generated:
    """A factory of functions and the objects that it binds. Segments and prerequisites are bound later, by key."""

    factory: Callable[..., Any]
    constants: tuple[Any, ...]
    segment_keys: tuple[str, ...]


class Writer:
    """The lines of one function and the constants they use.

    `fast` writes tests for attributes of the usual type inline and leaves for `odd` on any other; otherwise every test
    calls the operator's own predicate, which knows all types.
    """

    def __init__(
        self, *, fast: bool, names: tuple[str, ...], is_nested: bool = False, user_id: str | None = None
    ) -> None:
        self.fast = fast
        self.names = names
        self.is_nested = is_nested
        self.lines: list[str] = []
        self.constants: list[Any] = []
        self.segments: dict[str, str] = {}
        # The local variable that is known to hold the user id as non-empty text.
        self.user_id = user_id
        self.locals: dict[str, str] = {}
        self.kinds: dict[str, str | None] = {}
        self.has_attributes = False

    def line(self, indent: int, text: str) -> None:
        self.lines.append(" " * (2 + indent) + text)

    def constant(self, value: Any) -> str:
        self.constants.append(value)
        return f"K{len(self.constants) - 1}"

    def finish(self, signature: str) -> Generated:
        parameters = [*self.names, *(f"K{number}" for number in range(len(self.constants)))]
        parameters += [f"S{number}" for number in range(len(self.segments))]
        source = "\n".join([f"def make({', '.join(parameters)}):", f" def f({signature}):", *self.lines, " return f"])
        return Generated(_factory(source), tuple(self.constants), tuple(self.segments))

    def survey(self, trees: Iterable[Node]) -> None:
        """Finds for each attribute the one type all its inline tests want; must precede `test`."""
        for tree in trees:
            for condition in conditions_of(tree):
                kind = inline_kind(condition)
                if kind is not None and condition.attribute is not None:
                    known = self.kinds.setdefault(condition.attribute, kind)
                    if known != kind:
                        self.kinds[condition.attribute] = None

    def test(self, node: Node, indent: int = 0) -> str:
        """An expression that is true where the tree holds; "True" or "False" if constant. Adds the loads it needs."""
        if isinstance(node, Condition):
            return self._condition(node, indent)
        if isinstance(node, Not):
            inner = self.test(node.node, indent)
            return {"True": "False", "False": "True"}.get(inner, f"not ({inner})")
        neutral, absorbing, joint = ("True", "False", " and ") if isinstance(node, All) else ("False", "True", " or ")
        # Tests have no effects, so the cheapest may go first.
        children = sorted(node.nodes, key=_cost)
        parts = [part for child in children if (part := self.test(child, indent)) != neutral]
        if absorbing in parts:
            return absorbing
        if len(parts) > 1:
            return f"({joint.join(parts)})"
        return parts[0] if parts else neutral

    def _condition(self, condition: Condition, indent: int) -> str:
        if condition.fault is not None:
            return "False"
        if condition.attribute is None:
            return self._segment(condition)
        name = self._load(condition.attribute, indent)
        if condition.operator == "exists":
            return f"{name} is not None"
        if condition.operator == "not_exists":
            return f"{name} is None"
        kind = inline_kind(condition) if self.fast else None
        is_user_id = condition.attribute == "userId"
        if kind is None or (kind != TEXT if is_user_id else self.kinds[condition.attribute] is None):
            predicate = OPERATORS[condition.operator].predicate(condition.prepared)
            return f"{self.constant(predicate)}({name})"
        return self._inline(condition, name, kind)

    def _load(self, attribute: str, indent: int) -> str:
        known = self.user_id if attribute == "userId" and self.user_id is not None else self.locals.get(attribute)
        if known is not None:
            return known
        name = self.locals[attribute] = f"x{len(self.locals)}"
        if attribute == "userId":
            self.line(indent, f"{name} = c.user_id")
            return name
        if not self.has_attributes:
            self.has_attributes = True
            self.line(indent, "a = c.attributes")
        self.line(indent, f"{name} = a.get({self.constant(attribute)})")
        kind = self.kinds.get(attribute)
        if self.fast and kind is not None:
            self.line(indent, _GATES[kind].format(name))
        elif self.fast:
            self.line(indent, _GATE.format(name, self.constant(PLAIN)))
        return name

    def _inline(self, condition: Condition, name: str, kind: str) -> str:
        operator, value = condition.operator, condition.prepared
        # Tests that an absent attribute (None) would pass, or fail with an exception.
        present = "" if name == self.user_id else f"{name} is not None and "
        # NaN is not a number, and differs from everything.
        different = f"{present}{name} == {name} and " if kind == NUMBER else present
        if operator == "equals":
            return f"{name} == {self.constant(value)}"
        if operator == "not_equals":
            return f"({different}{name} != {self.constant(value)})"
        if operator == "in":
            return f"{name} in {self.constant(_only_members(value))}"
        if operator == "not_in":
            return f"({different}{name} not in {self.constant(_only_members(value))})"
        if operator in _COMPARISONS:
            return f"({present}{name} {_COMPARISONS[operator]} {self.constant(value)})"
        if operator in _AFFIXES:
            affix = value[0] if len(value) == 1 else value
            return f"({present}{name}.{_AFFIXES[operator]}({self.constant(affix)}))"
        word = "in" if operator == "contains" else "not in"
        return f"({present}{self.constant(value)} {word} {name})"

    def _segment(self, condition: Condition) -> str:
        names = [self.segments.setdefault(key, f"S{len(self.segments)}") for key in condition.prepared]
        call = "recall({0}, c, m)" if self.is_nested else "{0}(c, m)"
        calls = " or ".join(call.format(name) for name in dict.fromkeys(names)) or "False"
        if condition.operator == IN_SEGMENT:
            return f"({calls})" if names else "False"
        return f"not ({calls})" if names else "True"


def _children(node: All | AnyOf | Not) -> tuple[Node, ...]:
    return (node.node,) if isinstance(node, Not) else node.nodes


def _cost(node: Node) -> int:
    """A rough cost of a test: comparison 0, method call 1, predicate 2, groups and segments more."""
    if not isinstance(node, Condition):
        return 4 + sum(_cost(child) for child in _children(node))
    if node.attribute is None:
        return 3
    if node.operator in _AFFIXES:
        return 1
    return 0 if inline_kind(node) is not None or node.operator in ("exists", "not_exists") else 2


def inline_kind(condition: Condition) -> str | None:
    """The attribute type for which the condition becomes inline code; None where its predicate has to be called."""
    if condition.fault is not None or condition.operator in (IN_SEGMENT, NOT_IN_SEGMENT):
        return None
    value = condition.prepared
    if condition.operator in ("equals", "not_equals"):
        return None if _is_past_doubles(value) else kind_of(value)
    if condition.operator in ("in", "not_in"):
        return _kind_of_members(value)
    if condition.operator in _COMPARISONS:
        return None if _is_past_doubles(value) else NUMBER
    if condition.operator in ("contains", "not_contains"):
        return TEXT if isinstance(value, str) else None
    return TEXT if condition.operator in _AFFIXES else None


def _is_past_doubles(value: Any) -> bool:
    # Past it, a Python integer must first be rounded to a double, to compare as in other languages.
    return kind_of(value) == NUMBER and abs(value) >= MAX_EXACT_INTEGER


def _kind_of_members(members: Members) -> str | None:
    kinds = [
        kind
        for kind, values in ((TEXT, members.texts), (NUMBER, members.numbers), (BOOLEAN, members.booleans))
        if values
    ]
    return None if len(kinds) != 1 or any(map(_is_past_doubles, members.numbers)) else kinds[0]


def _only_members(members: Members) -> frozenset[Any]:
    return members.texts or members.numbers or members.booleans
