"""Flags, segments and contexts of LaunchDarkly's test data in our form. What our form cannot say is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

_OPERATORS: Final = {
    "startsWith": "starts_with",
    "endsWith": "ends_with",
    "contains": "contains",
    "matches": "matches",
    "lessThan": "less_than",
    "lessThanOrEqual": "less_or_equal",
    "greaterThan": "greater_than",
    "greaterThanOrEqual": "greater_or_equal",
    "before": "before",
    "after": "after",
    "semVerEqual": "semver_equal",
    "semVerLessThan": "semver_less",
    "semVerGreaterThan": "semver_greater",
}
_USER: Final = "user"
_TYPES: Final[dict[str, Callable[[Any], bool]]] = {
    "boolean": lambda value: isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
}
Tree = dict[str, Any]


class NotExpressibleError(Exception):
    """Our form has nothing for this; the message says for what."""


def environment_of(data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The snapshot, and by key why a flag is not in it."""
    refused: dict[str, str] = {}
    segments = _each(data.get("segments") or {}, segment_of, {})
    flags = _each(data.get("flags") or {}, flag_of, refused)
    return {"contract": 1, "version": 1, "environment": {}, "flags": flags, "segments": segments}, refused


def _each(
    documents: dict[str, Any], read: Callable[[dict[str, Any]], dict[str, Any]], refused: dict[str, str]
) -> dict[str, Any]:
    found = {}
    for key, document in documents.items():
        try:
            found[key] = read({**document, "key": key})
        except NotExpressibleError as error:
            refused[key] = str(error)
    return found


def flag_of(flag: dict[str, Any]) -> dict[str, Any]:
    """One flag. Variants are named after the place of their variation."""
    values = flag.get("variations") or []
    kind = next((name for name, is_one in _TYPES.items() if values and all(map(is_one, values))), "json")
    if kind == "boolean" and len(values) > 2:
        kind = "json"
    variants = [{"key": _variant(place), "value": value} for place, value in enumerate(values)]
    if len(variants) == 1:
        # Ours have two at least.
        variants.append({"key": "spare", "value": values[0]})

    def named(place: Any) -> str:
        if not isinstance(place, int) or not 0 <= place < len(values):
            raise NotExpressibleError("a flag names a variation that it has not")
        return _variant(place)

    is_on = bool(flag.get("on"))
    off = flag.get("offVariation")
    if off is None and not (is_on and not flag.get("prerequisites")):
        raise NotExpressibleError("a flag that is off has no variation of its own: it has the code's default")
    return {
        "key": flag["key"],
        "type": kind,
        "enabled": is_on,
        "variants": variants,
        "offVariant": named(off) if off is not None else variants[0]["key"],
        "defaultVariant": named(_only(flag.get("fallthrough") or {})) if is_on else named(off),
        "prerequisites": [
            {"flagKey": one["key"], "variants": [_variant(one["variation"])]} for one in flag.get("prerequisites") or []
        ],
        "targets": _targets(flag, named),
        "rules": [
            {
                "id": rule.get("id") or f"rule-{place}",
                "priority": place + 1,
                "conditions": {"all": [condition_of(one) for one in rule.get("clauses") or []]},
                "variant": named(_only(rule)),
            }
            for place, rule in enumerate(flag.get("rules") or [])
        ],
    }


def _targets(flag: dict[str, Any], named: Callable[[Any], str]) -> list[dict[str, Any]]:
    by_kind = flag.get("contextTargets") or []
    if any((one.get("contextKind") or _USER) != _USER for one in by_kind):
        raise NotExpressibleError("a target is of another kind of context than a user")
    targets = flag.get("targets") or []
    if by_kind:
        # Of users it says the order alone; their keys stand in the older list.
        order = {one["variation"]: place for place, one in enumerate(by_kind)}
        targets = sorted(targets, key=lambda one: order.get(one["variation"], len(order)))
    return [{"variant": named(one["variation"]), "userIds": one.get("values") or []} for one in targets]


def _only(served: dict[str, Any]) -> Any:
    """The variation that everybody gets."""
    if served.get("rollout"):
        raise NotExpressibleError("percentages divide users by another hash")
    return served.get("variation")


def _variant(place: Any) -> str:
    return f"v{place}"


def segment_of(segment: dict[str, Any]) -> dict[str, Any]:
    if segment.get("unbounded"):
        raise NotExpressibleError("a big segment asks a store for each user")
    if segment.get("includedContexts") or segment.get("excludedContexts"):
        raise NotExpressibleError("a segment lists other kinds of contexts than users")
    rules = segment.get("rules") or []
    if any(rule.get("weight") is not None for rule in rules):
        raise NotExpressibleError("percentages divide users by another hash")
    return {
        "key": segment["key"],
        "included": segment.get("included") or [],
        # There the included win, here the excluded.
        "excluded": [key for key in segment.get("excluded") or [] if key not in (segment.get("included") or [])],
        "conditions": {"any": [{"all": [condition_of(one) for one in rule.get("clauses") or []]} for rule in rules]}
        if rules
        else None,
    }


def condition_of(clause: dict[str, Any]) -> Tree:
    """A clause: any value matches any value of the attribute."""
    operator, values = clause.get("op"), clause.get("values") or []
    if operator == "segmentMatch":
        return {"operator": "not_in_segment" if clause.get("negate") else "in_segment", "value": values}
    attribute = _attribute(clause)
    if operator == "in":
        tree: Tree = {"attribute": attribute, "operator": "in", "value": values}
        if any(isinstance(value, (dict, list)) or value is None for value in values):
            raise NotExpressibleError("a condition compares with what is no string, number or boolean")
    elif operator in _OPERATORS:
        tree = {"any": [{"attribute": attribute, "operator": _OPERATORS[operator], "value": value} for value in values]}
    else:
        raise NotExpressibleError(f"there is no operator {operator}")
    if not clause.get("negate"):
        return tree
    # Whoever lacks the attribute matches neither the clause nor its opposite.
    return {"all": [{"attribute": attribute, "operator": "exists"}, {"not": tree}]}


def _attribute(clause: dict[str, Any]) -> str:
    kind, name = clause.get("contextKind"), clause.get("attribute") or ""
    if (kind or _USER) != _USER:
        raise NotExpressibleError("a condition is about another kind of context than a user")
    if name == "kind":
        raise NotExpressibleError("contexts have no kinds")
    if kind and name.startswith("/"):
        if "/" in name[1:]:
            raise NotExpressibleError("a condition looks into an object")
        name = name[1:].replace("~1", "/").replace("~0", "~")
    if not name:
        raise NotExpressibleError("a condition names no attribute")
    return "userId" if name == "key" else name


def context_of(asked: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The unit's id and the attributes of a context, or of what was a user before there were contexts."""
    context, user = asked.get("context"), asked.get("user")
    if user is not None:
        custom = user.get("custom") or {}
        attributes = {**{name: value for name, value in user.items() if name not in {"key", "custom"}}, **custom}
    elif context is None or context.get("kind", _USER) != _USER:
        raise NotExpressibleError("the context is of another kind than a user")
    else:
        user = context
        attributes = {name: value for name, value in context.items() if name not in {"kind", "key", "_meta"}}
    attributes.setdefault("anonymous", False)
    return user["key"], attributes
