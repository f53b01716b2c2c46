"""The registry of event types. Each action of the audit log is one, so it is made from the registry of actions.

Webhooks, notifications, the reference and the OpenAPI document read it here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from audit.actions import Action, Document, all_actions
from tenancy.errors import Problem

ALL = "*"
_REF = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class EventType:
    """What subscribers need to know of an action. `states` is the JSON schema of `before` and `after`, if any."""

    name: str
    label: str
    documentation: str
    entity: str
    states: dict[str, Any] | None

    @property
    def group(self) -> str:
        """What stands before the dot: `flag` of `flag.killed`."""
        return self.name.partition(".")[0]


def event_types() -> list[EventType]:
    return [
        EventType(action.name, action.label, action.sentence, action.entity_type, _states(action))
        for action in all_actions()
    ]


def groups() -> list[str]:
    """`flag`, `segment` and so on, in the order of the registry."""
    return list(dict.fromkeys(found.group for found in event_types()))


def _states(action: Action) -> dict[str, Any] | None:
    """A document's is that of the API; a small one is written out."""
    if action.payload is None:
        return None
    if isinstance(action.payload, Document):
        return {"$ref": f"{_REF}{action.payload.schema}"}
    schema: dict[str, Any] = msgspec.json.schema(action.payload, schema_hook=_any_of_object)
    return _inlined(schema, schema.get("$defs", {}))


def _any_of_object(kind: type) -> dict[str, Any]:
    """`object` is any value."""
    if kind is object:
        return {"description": "Any value."}
    raise NotImplementedError


def _inlined(node: Any, parts: dict[str, Any]) -> Any:
    """Put each part where it is named, so that a schema stands on its own."""
    if isinstance(node, list):
        return [_inlined(item, parts) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inlined(parts[node["$ref"].rpartition("/")[2]], parts)
    return {name: _inlined(value, parts) for name, value in node.items() if name != "$defs"}


def markdown_tables() -> str:
    """The tables of docs/reference/events.md, one for each kind; a test holds the two together."""
    found = event_types()
    parts = []
    for group in groups():
        lines = [f"### `{group}.*`", "| event | label | sent when | `before` and `after` |", "|---|---|---|---|"]
        lines += [
            f"| `{one.name}` | {one.label} | {one.documentation} | {_in_words(one.states)} |"
            for one in found
            if one.group == group
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _in_words(states: dict[str, Any] | None) -> str:
    if states is None:
        return "null"
    if "$ref" in states:
        return f"`{states['$ref'].removeprefix(_REF)}`"
    return ", ".join(f"`{name}`: {_kind(shape)}" for name, shape in states["properties"].items())


def _kind(shape: dict[str, Any]) -> str:
    if "anyOf" in shape:
        return " or ".join(_kind(each) for each in shape["anyOf"])
    return f"list of {_kind(shape['items'])}s" if shape.get("type") == "array" else str(shape.get("type", "any"))


# -- What a subscriber names ----------------------------------------------------------------------------------------


def is_named(event: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns is the event, all of its kind (`flag.*`), or everything (`*`)."""
    group = f"{event.partition('.')[0]}.*"
    return any(pattern in {event, group, ALL} for pattern in patterns)


def pattern_problems(patterns: list[str], attr: str = "events") -> list[Problem]:
    """Return a problem for each pattern that names no event."""
    names = {found.name for found in event_types()}
    known = {ALL, *names, *(f"{group}.*" for group in groups())}
    return [
        Problem(
            f"{attr}[{index}]",
            "unknown_event",
            f"There is no event {pattern!r}. Name one, as flag.killed; all of a kind, as flag.*; or * for all.",
        )
        for index, pattern in enumerate(patterns)
        if pattern not in known
    ]
