"""Flagsmith: its environment document (`feature_states`, `project.segments`, `identity_overrides`).

A feature of Flagsmith has a switch and a value. It becomes a flag whose variants are the values.
"""

import math
from collections.abc import Mapping
from typing import Any

from flags.exchange.foreign_values import basis_points, key_of, lay_out, objects, refuse_other_environment, unique
from flags.exchange.left_out import NARROWED, widens
from flags.exchange.notes import Notes, NotExpressibleError
from flags.selectors import conditions_in
from tenancy.errors import Invalid

_WHOLE = 10_000
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


def convert(data: Mapping[str, Any], environment: str | None, notes: Notes) -> dict[str, Any]:
    refuse_other_environment(environment, [str(data["name"])] if data.get("name") else [])
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
    empty = frozenset(segment["key"] for segment in segments if segment["conditions"] is None)
    return {
        "segments": segments,
        "flags": [_flag(state, overrides.get(_name_of(state), []), people, empty, notes) for state in states],
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
    empty: frozenset[str],
    notes: Notes,
) -> dict[str, Any]:
    name = _name_of(state)
    mine: list[tuple[str, Mapping[str, Any]]] = []
    for person in people:
        for own in objects(person.get("identity_features"), "identity_features"):
            if _name_of(own) == name:
                mine.append((str(person.get("identifier")), own))
    states = [state, *(other for _, other in overrides), *(other for _, other in mine)]
    options = [option for other in states for option in _options(other)]
    is_boolean = not options and all(other.get("feature_state_value") in (None, "") for other in states)
    variants = _Variants(is_boolean)
    if not is_boolean:
        notes.add("flag", name, "Its values come as text; the variant `off` (empty text) stands for switched off.")
    default = "treatment" if is_boolean else variants.of_value(state.get("feature_state_value"))
    targets: dict[str, list[str]] = {}
    for identifier, override in mine:
        shares = _shares(override, variants)
        if override.get("enabled") is True and len(shares) == 1 and shares[0][1] == _WHOLE:
            targets.setdefault(shares[0][0], []).append(identifier)
            continue
        if shares:
            notes.add("flag", name, f"The percentages of the identity {identifier!r} are left out.")
        targets.setdefault(variants.of(override), []).append(identifier)
    rules = []
    given: list[tuple[str, str]] = []
    for number, (segment, other) in enumerate(sorted(overrides, key=lambda item: _priority_of(item[1])), 1):
        rule = {
            "priority": number * 10,
            "name": f"Segment {segment}"[:200],
            "conditions": [{"operator": "in_segment", "value": [segment]}],
        }
        served = variants.of(other)
        given.append((segment, served))
        shares = _shares(other, variants) if other.get("enabled") is True else []
        if shares:
            # Who is in none of the shares gets the override's own value.
            rest = _WHOLE - sum(width for _, width in shares)
            rules.append({**rule, "allocation": lay_out([*shares, *([(served, rest)] if rest > 0 else [])])})
        else:
            rules.append({**rule, "variant": served})
    allocation = lay_out(_shares(state, variants))
    if allocation or any("allocation" in rule for rule in rules):
        notes.add("flag", name, "Its percentages keep their shares; who is in which is dealt anew.")
    is_enabled = state.get("enabled") is True
    if not is_enabled and (rules or targets):
        # An override of Flagsmith switches a feature on for some. A flag of FlagShip that is off is off for everybody.
        notes.add(
            "flag", name, "It is off but for some: it comes switched on, with its off variant for everybody else."
        )
        is_enabled, allocation = True, []
        default = "control" if is_boolean else "off"
    listed = variants.listed()
    # A segment that comes empty takes nothing away any more.
    refusing = {"control", "off"}
    later = {default, *(share[2] for share in allocation)}
    is_narrowed = False
    for segment, served in reversed(given):
        is_narrowed |= segment in empty and widens({served}, later, refusing)
        later.add(served)
    if is_narrowed:
        notes.add("flag", name, NARROWED)
    return {
        "key": name,
        "name": name,
        "type": "boolean" if is_boolean else "string",
        "variants": listed,
        "enabled": is_enabled and not is_narrowed,
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


def _options(state: Mapping[str, Any]) -> list[dict[str, Any]]:
    return objects(state.get("multivariate_feature_state_values"), "multivariate_feature_state_values")


def _shares(state: Mapping[str, Any], variants: _Variants) -> list[tuple[str, int]]:
    shares = []
    for option in _options(state):
        chosen = option.get("multivariate_feature_option")
        width = basis_points(option.get("percentage_allocation"), 100)
        if isinstance(chosen, Mapping) and width:
            shares.append((variants.of_value(chosen.get("value")), width))
    return shares


def _segment(row: Mapping[str, Any], key: str, notes: Notes) -> dict[str, Any]:
    conditions: dict[str, Any] | None = None
    try:
        conditions = {"all": [_rule(rule) for rule in objects(row.get("rules"), "segments.rules")]}
        if _orders(conditions):
            notes.add("segment", key, "Traits that hold a number as text are not compared with a number.")
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
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return {"attribute": attribute, "operator": "in", "value": [each for part in parts for each in _either(part)]}
    if operator in _SEMVER and text.endswith(":semver"):
        return {"attribute": attribute, "operator": _SEMVER[operator], "value": text.removesuffix(":semver")}
    if operator not in _OPERATORS:
        raise NotExpressibleError(f"the operator {operator!r} has no counterpart")
    if operator in {"CONTAINS", "NOT_CONTAINS", "REGEX"}:
        return {"attribute": attribute, "operator": _OPERATORS[operator], "value": text}
    if operator == "EQUAL":
        # Flagsmith compares by the type of the trait, which a segment does not say.
        return _any_of(attribute, text)
    if operator == "NOT_EQUAL":
        return {"all": [{"attribute": attribute, "operator": "exists"}, {"not": _any_of(attribute, text)}]}
    return {"attribute": attribute, "operator": _OPERATORS[operator], "value": _typed(text)}


def _any_of(attribute: str, text: str) -> dict[str, Any]:
    each = [{"attribute": attribute, "operator": "equals", "value": value} for value in _either(text)]
    return each[0] if len(each) == 1 else {"any": each}


def _either(text: str) -> list[Any]:
    """The text, and what it says where it is a number or a boolean."""
    return list(dict.fromkeys([_typed(text), text]))


def _orders(tree: Any) -> bool:
    """Whether a tree orders numbers: more or less than."""
    return any(str(node.get("operator", "")).startswith(("greater", "less")) for node in conditions_in(tree))


def _typed(text: str) -> Any:
    """A comparison of FlagShip has one type, so the text decides it."""
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    try:
        number = float(text)
    except ValueError:
        return text
    if not math.isfinite(number):
        return text
    return int(number) if number.is_integer() else number
