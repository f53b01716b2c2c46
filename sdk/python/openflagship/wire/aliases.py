"""Other forms of an evaluation's body, for clients written to other documents, and the answers in their manner.

`{flag_key, user: {id, attributes}}` is answered with names in snake case. `{envKey, flagKey, context}` has a flat
context. Both answers name the variant `variation` as well. Both are turned into our own form; nothing else knows them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from openflagship.wire.bodies import InvalidError

_UNITS = ("userId", "targetingKey", "key", "id")
_SNAKE = {
    "flagKey": "flag_key",
    "userId": "user_id",
    "ruleId": "rule_id",
    "errorCode": "error_code",
    "evaluationId": "evaluation_id",
    "configVersion": "config_version",
}
Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Translated:
    """A body in our own form, the environment that it named, and how its answer is written."""

    body: dict[str, Any]
    environment_key: str
    write: Callable[[Answer], Answer]


def translated(sent: Any) -> Translated | None:
    """Return a body of another form in ours; None for one in ours. Raises InvalidError."""
    if not isinstance(sent, dict):
        return None
    if "flag_key" in sent:
        return _snake(sent)
    return _with_context(sent) if "envKey" in sent or "context" in sent else None


def _snake(sent: Mapping[str, Any]) -> Translated:
    _refuse_unknown(sent, ("flag_key", "user", "default_value", "source"))
    user = _object(sent, "user")
    _refuse_unknown(user, ("id", "attributes"), within="user.")
    body = {"flagKey": sent["flag_key"], "userId": user.get("id"), "attributes": user.get("attributes")}
    renamed = {"defaultValue": "default_value", "source": "source"}
    body |= {ours: sent[theirs] for ours, theirs in renamed.items() if theirs in sent}
    return Translated(body, "", _in_snake_case)


def _with_context(sent: Mapping[str, Any]) -> Translated:
    _refuse_unknown(sent, ("envKey", "flagKey", "context", "defaultValue", "source"))
    context = dict(_object(sent, "context"))
    unit = next((name for name in _UNITS if name in context), None)
    user_id = context.pop(unit) if unit else None
    nested = context.pop("attributes", None)
    attributes = {**context, **nested} if isinstance(nested, dict) else context
    body = {name: sent[name] for name in ("flagKey", "defaultValue", "source") if name in sent}
    environment_key = sent.get("envKey")
    if environment_key is not None and not isinstance(environment_key, str):
        raise InvalidError(("envKey", "invalid_type", "Send the environment's key as a string."))
    return Translated({**body, "userId": user_id, "attributes": attributes}, environment_key or "", _with_variation)


def _object(sent: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = sent.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidError((name, "invalid_type", "Send an object."))
    return found


def _refuse_unknown(sent: Mapping[str, Any], known: tuple[str, ...], *, within: str = "") -> None:
    problems = [
        (f"{within}{name}", "unknown_field", f"There is no field {name!r} beside {', '.join(known)}.")
        for name in sent
        if name not in known
    ]
    if problems:
        raise InvalidError(*problems)


def _with_variation(answer: Answer) -> Answer:
    return {**answer, "variation": answer.get("variant")}


def _in_snake_case(answer: Answer) -> Answer:
    return {_SNAKE.get(name, name): value for name, value in _with_variation(answer).items()}
