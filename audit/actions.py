"""The registry of audit actions: an action has a name, a label, a payload and a sentence for the docs.

Each app registers its own in a module `audit_actions`, which Django imports at the start. `audit.services` refuses a
row of any other action.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Tone = Literal["", "success", "warning", "danger"]


@dataclass(frozen=True, slots=True)
class Document:
    """A payload that has a name in the API's schema: `Flag` is what the API answers for a flag.

    `names` are the kinds of things that it belongs to; it names a flag as `flagKey`.
    """

    schema: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Action:
    """One kind of act. `before` and `after` of its rows have the shape `payload`; None: the row has neither.

    `remedy` says what to do about an alarm, to whoever is told of it.

    `payload` is a TypedDict or a document of the API. `entity` is the kind of thing that is acted on, by default the
    first half of the name.
    """

    name: str
    label: str
    sentence: str
    payload: Document | type | None = None
    entity: str = ""
    tone: Tone = ""
    remedy: str = ""

    @property
    def entity_type(self) -> str:
        return self.entity or self.name.partition(".")[0]


class UnregisteredActionError(LookupError):
    """Somebody recorded an action that no app has registered."""


class PayloadError(ValueError):
    """Somebody recorded a state with fields that the action's payload does not have."""


_actions: dict[str, Action] = {}


def register(*actions: Action) -> None:
    """Add actions. Raises ValueError for a name that another action has."""
    for action in actions:
        if _actions.setdefault(action.name, action) != action:
            raise ValueError(f"There are two audit actions {action.name!r}.")


def get_action(name: str) -> Action:
    """Raise UnregisteredActionError for a name that no app has registered."""
    try:
        return _actions[name]
    except KeyError as error:
        raise UnregisteredActionError(
            f"There is no audit action {name!r}; register it in the app's audit_actions.py."
        ) from error


def all_actions() -> list[Action]:
    """Return every action, the lower app's first, in the order of registration."""
    return list(_actions.values())


def kinds_naming(entity: str) -> set[str]:
    """Return the kinds of things whose documents name the thing that they belong to, of the kind `entity`."""
    return {
        action.entity_type
        for action in _actions.values()
        if isinstance(action.payload, Document) and entity in action.payload.names
    }


def label_of(name: str) -> str:
    """Return the label of an action; an old row may have one that is no longer registered, which is its own label."""
    action = _actions.get(name)
    return action.label if action else name


def tone_of(name: str) -> Tone:
    action = _actions.get(name)
    return action.tone if action else ""


def remedy_of(name: str) -> str:
    action = _actions.get(name)
    return action.remedy if action else ""


def check_payload(action: Action, *states: Mapping[str, Any] | None) -> None:
    """Raise PayloadError for a field that the action's TypedDict lacks. A document of the API is not checked."""
    if isinstance(action.payload, Document):
        return
    known: Iterable[str] = action.payload.__annotations__ if action.payload else ()
    unknown = {field for state in states if state is not None for field in state}.difference(known)
    if unknown:
        raise PayloadError(f"The payload of {action.name} has no {', '.join(sorted(unknown))}.")


def describe_payload(action: Action) -> str:
    """Return the payload in words for the docs: a document's name, or the fields of a small one."""
    if action.payload is None:
        return "-"
    if isinstance(action.payload, Document):
        return f"`{action.payload.schema}`"
    return ", ".join(f"`{field}`" for field in action.payload.__annotations__)


def markdown_table() -> str:
    """Return the table of docs/reference/audit.md; a test holds the two together."""
    lines = ["| action | what happened | payload |", "|---|---|---|"]
    lines += [f"| `{action.name}` | {action.sentence} | {describe_payload(action)} |" for action in all_actions()]
    return "\n".join(lines)
