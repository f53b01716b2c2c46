"""Flagsmith: its environment document (`feature_states`, `project.segments`, `identity_overrides`).

A feature of Flagsmith has a switch and a value. It becomes a flag whose variants are the values.
"""

import math
from collections.abc import Mapping
from typing import Any

from flags.exchange.foreign_values import basis_points, key_of, lay_out, objects, unique
from flags.exchange.notes import Notes, NotExpressibleError
from tenancy.errors import Invalid

_OPERATORS = {
    "EQUAL": "equals",
    "NOT_EQUAL": "not_equals",
    "GREATER_THAN": "greater_than",
    "GREATER_THAN_INCLUSIVE": "greater_or_equal",
    "LESS_THAN": "less_than",
    "LESS_THAN_INCLUSIVE": "less_or_equal",
    "CONTAINS": "contains",
    "NOT_CONTAINS": "not_contains",
    "REGEX": "matches",
}
_SEMVER = {
    "EQUAL": "semver_equal",
    "GREATER_THAN": "semver_greater",
    "GREATER_THAN_INCLUSIVE": "semver_greater_or_equal",
    "LESS_THAN": "semver_less",
    "LESS_THAN_INCLUSIVE": "semver_less_or_equal",
}


def convert(data: Mapping[str, Any], environment: str | None, notes: Notes) -> dict[str, Any]:  # noqa: ARG001 - such a file has one environment
    states = objects(data.get("feature_states"), "feature_states")
    if not states:
        raise Invalid(
            "The file has no feature_states; send an environment document of Flagsmith.",
            attr="data.feature_states",
            code="unreadable",
        )
    project = data.get("project")
    listed = objects(project.get("segments") if isinstance(project, Mapping) else None, "project.segments")
    taken: set[str] = set()
    segments = []
    overrides: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for row in listed:
        key = unique(key_of(row.get("name"), f"segment-{row.get('id')}"), taken)
        segments.append(_segment(row, key, notes))
        for state in objects(row.get("feature_states"), "segments.feature_states"):
            overrides.setdefault(_name_of(state), []).append((key, state))
    people = objects(data.get("identity_overrides"), "identity_overrides")
    return {
        "segments": segments,
        "flags": [_flag(state, overrides.get(_name_of(state), []), people, notes) for state in states],
    }


def _name_of(state: Mapping[str, Any]) -> str:
    feature = state.get("feature")
    return str(feature.get("name") if isinstance(feature, Mapping) else "")


class _Variants:
    """The values that a feature has anywhere, each as a variant. `off` is the variant of a feature that is off."""

    def __init__(self, is_boolean: bool) -> None:
        self.is_boolean = is_boolean
        self._keys: dict[str, str] = {}
        self._taken = {"off"}

    def of(self, state: Mapping[str, Any]) -> str:
        """Return the variant of a state: `off`, or that of its value."""
        if state.get("enabled") is not True:
            return "control" if self.is_boolean else "off"
        return "treatment" if self.is_boolean else self.of_value(state.get("feature_state_value"))

    def of_value(self, value: Any) -> str:
        text = "" if value is None else str(value)
        if text not in self._keys:
            self._keys[text] = unique(key_of(text[:40], "value"), self._taken)
        return self._keys[text]

    def listed(self) -> list[dict[str, Any]]:
        if self.is_boolean:
            return [{"key": "control", "value": False}, {"key": "treatment", "value": True}]
        return [{"key": "off", "value": ""}, *({"key": key, "value": text} for text, key in self._keys.items())]


def _flag(
    state: Mapping[str, Any],
    overrides: list[tuple[str, Mapping[str, Any]]],
    people: list[dict[str, Any]],
    notes: Notes,
) -> dict[str, Any]:
    name = _name_of(state)
    mine: list[tuple[str, Mapping[str, Any]]] = []
    for person in people:
        for own in objects(person.get("identity_features"), "identity_features"):
            if _name_of(own) == name:
                mine.append((str(person.get("identifier")), own))
    states = [state, *(other for _, other in overrides), *(other for _, other in mine)]
    options = objects(state.get("multivariate_feature_state_values"), "multivariate_feature_state_values")
    is_boolean = not options and all(other.get("feature_state_value") in (None, "") for other in states)
    variants = _Variants(is_boolean)
    if not is_boolean:
        notes.add("flag", name, "Its values come as text; the variant `off` (empty text) stands for switched off.")
    default = "treatment" if is_boolean else variants.of_value(state.get("feature_state_value"))
    targets: dict[str, list[str]] = {}
    for identifier, override in mine:
        targets.setdefault(variants.of(override), []).append(identifier)
    rules = []
    for number, (segment, other) in enumerate(sorted(overrides, key=lambda item: _priority_of(item[1])), 1):
        rules.append(
            {
                "priority": number * 10,
                "name": f"Segment {segment}"[:200],
                "conditions": [{"operator": "in_segment", "value": [segment]}],
                "variant": variants.of(other),
            }
        )
    allocation = _allocation(name, options, variants, notes)
    is_enabled = state.get("enabled") is True
    if not is_enabled and (rules or targets):
        # An override of Flagsmith switches a feature on for some. A flag of FlagShip that is off is off for everybody.
        notes.add(
            "flag", name, "It is off but for some: it comes switched on, with its off variant for everybody else."
        )
        is_enabled, allocation = True, []
        default = "control" if is_boolean else "off"
    listed = variants.listed()
    return {
        "key": name,
        "name": name,
        "type": "boolean" if is_boolean else "string",
        "variants": listed,
        "enabled": is_enabled,
        "defaultVariant": default,
        "offVariant": listed[0]["key"],
        "targets": [{"variant": key, "userIds": ids} for key, ids in targets.items()],
        "rules": rules,
        "allocation": allocation,
    }


def _priority_of(state: Mapping[str, Any]) -> int:
    found = state.get("feature_segment")
    priority = found.get("priority") if isinstance(found, Mapping) else None
    return priority if isinstance(priority, int) else 0


def _allocation(name: str, options: list[dict[str, Any]], variants: _Variants, notes: Notes) -> list[list[Any]]:
    shares = []
    for option in options:
        chosen = option.get("multivariate_feature_option")
        width = basis_points(option.get("percentage_allocation"), 100)
        if isinstance(chosen, Mapping) and width:
            shares.append((variants.of_value(chosen.get("value")), width))
    if shares:
        notes.add("flag", name, "Its percentages keep their shares; who is in which is dealt anew.")
    return lay_out(shares)


def _segment(row: Mapping[str, Any], key: str, notes: Notes) -> dict[str, Any]:
    conditions: dict[str, Any] | None = None
    try:
        conditions = {"all": [_rule(rule) for rule in objects(row.get("rules"), "segments.rules")]}
    except NotExpressibleError as error:
        notes.add("segment", key, f"It comes empty, so that it matches nobody: {error}.")
    return {"key": key, "name": str(row.get("name") or key), "conditions": conditions}


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    nodes = [_rule(inner) for inner in objects(rule.get("rules"), "segments.rules.rules")]
    nodes += [_condition(item) for item in objects(rule.get("conditions"), "segments.conditions")]
    match rule.get("type"):
        case "ALL":
            return {"all": nodes}
        case "ANY":
            return {"any": nodes}
        case "NONE":
            return {"not": {"any": nodes}}
        case other:
            raise NotExpressibleError(f"the rule type {other!r} has no counterpart")


def _condition(item: Mapping[str, Any]) -> dict[str, Any]:
    operator, value = str(item.get("operator")), item.get("value")
    attribute = str(item.get("property_") or item.get("property") or "")
    if operator in {"IS_SET", "IS_NOT_SET"}:
        return {"attribute": attribute, "operator": "exists" if operator == "IS_SET" else "not_exists"}
    text = str(value if value is not None else "")
    if operator == "IN":
        return {
            "attribute": attribute,
            "operator": "in",
            "value": [part.strip() for part in text.split(",") if part.strip()],
        }
    if operator in _SEMVER and text.endswith(":semver"):
        return {"attribute": attribute, "operator": _SEMVER[operator], "value": text.removesuffix(":semver")}
    if operator not in _OPERATORS:
        raise NotExpressibleError(f"the operator {operator!r} has no counterpart")
    if operator in {"CONTAINS", "NOT_CONTAINS", "REGEX"}:
        return {"attribute": attribute, "operator": _OPERATORS[operator], "value": text}
    return {"attribute": attribute, "operator": _OPERATORS[operator], "value": _typed(text)}


def _typed(text: str) -> Any:
    """Flagsmith compares by the type of the trait. A condition of FlagShip has one type, so the text decides it."""
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    try:
        number = float(text)
    except ValueError:
        return text
    if not math.isfinite(number):
        return text
    return int(number) if number.is_integer() else number
