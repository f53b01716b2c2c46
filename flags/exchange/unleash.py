"""Unleash: one environment of its export (`features`, `featureStrategies`, `featureEnvironments`, `segments`).

A feature of Unleash is on or off, with alternative strategies. Each strategy becomes a rule that gives `treatment`.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from flags.exchange.foreign_values import (
    basis_points,
    chosen_environment,
    id_of,
    key_of,
    lay_out,
    objects,
    texts,
    unique,
)
from flags.exchange.left_out import NARROWED
from flags.exchange.notes import Notes, NotExpressibleError
from tenancy.errors import Invalid

_TEXT = {"STR_STARTS_WITH": "starts_with", "STR_ENDS_WITH": "ends_with"}
# Where a constraint ignores case.
_PATTERNS = {"STR_STARTS_WITH": "^{}", "STR_ENDS_WITH": "{}$", "STR_CONTAINS": "{}"}
_NUMBER = {
    "NUM_EQ": "equals",
    "NUM_GT": "greater_than",
    "NUM_GTE": "greater_or_equal",
    "NUM_LT": "less_than",
    "NUM_LTE": "less_or_equal",
}
_OTHER = {
    "DATE_AFTER": "after",
    "DATE_BEFORE": "before",
    "SEMVER_EQ": "semver_equal",
    "SEMVER_GT": "semver_greater",
    "SEMVER_LT": "semver_less",
}
_KINDS = {
    "release": "release",
    "experiment": "experiment",
    "operational": "ops",
    "permission": "permission",
    "kill-switch": "kill_switch",
}
_ROLLOUTS = {"flexibleRollout": "rollout", "gradualRolloutUserId": "percentage", "gradualRolloutRandom": "percentage"}


def convert(data: Mapping[str, Any], environment: str | None, notes: Notes) -> dict[str, Any]:
    features = objects(data.get("features"), "features")
    if not features:
        raise Invalid("The file has no features; send an export of Unleash.", attr="data.features", code="unreadable")
    strategies = objects(data.get("featureStrategies"), "featureStrategies")
    switches = objects(data.get("featureEnvironments"), "featureEnvironments")
    known = sorted({str(row["environment"]) for row in (*strategies, *switches) if row.get("environment")})
    chosen = chosen_environment(environment, known)
    segments, segment_keys = _segments(data, notes)
    linked: dict[Any, list[Any]] = {}
    for row in objects(data.get("featureStrategySegments"), "featureStrategySegments"):
        linked.setdefault(id_of(row.get("featureStrategyId")), []).append(row.get("segmentId"))
    tags: dict[str, list[str]] = {}
    for row in objects(data.get("featureTags"), "featureTags"):
        tags.setdefault(str(row.get("featureName")), []).append(str(row.get("tagValue") or row.get("value") or "")[:60])
    found: dict[str, dict[str, Any]] = {}
    for feature in features:
        name = str(feature.get("name") or "")
        here = [row for row in switches if row.get("featureName") == name]
        switch = [row for row in here if row.get("environment", chosen) == chosen]
        if here and not switch:
            notes.add("flag", name, f"The file has no configuration of it for {chosen!r}; it is left out.")
            continue
        mine = [
            row for row in strategies if row.get("featureName") == name and row.get("environment", chosen) == chosen
        ]
        mine = [_named(row, linked) for row in mine or objects(feature.get("strategies"), "strategies")]
        mine.sort(key=_place_of)
        # Older releases have the variants on the feature.
        config = {"variants": feature.get("variants"), **(switch[0] if switch else feature)}
        reader = _Feature(name, mine, config, segment_keys, notes)
        found[name] = {**reader.flag(feature), "tags": [tag for tag in tags.get(name, []) if tag]}
    for row in objects(data.get("dependencies"), "dependencies"):
        child = found.get(str(row.get("feature")))
        if child is not None:
            _add_prerequisites(child, objects(row.get("dependencies") or [row], "dependencies"), found, notes)
    return {"flags": list(found.values()), "segments": segments}


def _named(row: dict[str, Any], linked: Mapping[Any, list[Any]]) -> dict[str, Any]:
    """A strategy in the manner of today. State exports of older releases name it, and its segments, elsewhere."""
    name = str(row.get("name") or row.get("strategyName") or "")
    return {**row, "name": name, "segments": row.get("segments") or linked.get(id_of(row.get("id")), [])}


def _place_of(row: Mapping[str, Any]) -> float:
    """Where a strategy stands among a feature's. One without a place comes first."""
    place = row.get("sortOrder")
    return place if isinstance(place, int) or (isinstance(place, float) and math.isfinite(place)) else 0


def _add_prerequisites(
    child: dict[str, Any], parents: list[dict[str, Any]], found: Mapping[str, dict[str, Any]], notes: Notes
) -> None:
    """Make dependencies on other features prerequisites. What none can express switches the flag off."""
    for row in parents:
        parent = str(row.get("parent") or row.get("feature") or "")
        other = found.get(parent)
        if other is None or row.get("enabled") is False or parent == child["key"]:
            why = "the file has no such feature" if other is None else "it asks that the feature is off"
            notes.add("flag", child["key"], f"Its dependency on {parent!r} is left out: {why}. {NARROWED}")
            child["enabled"] = False
            continue
        given = [variant["key"] for variant in other["variants"] if variant["key"] != other["offVariant"]]
        wanted = [key_of(name, "variant") for name in texts(row.get("variants"))]
        known = [name for name in wanted if name in given]
        if len(known) < len(wanted):
            lost = ", ".join(repr(name) for name in wanted if name not in given)
            said = f"Its dependency on {parent!r} names variants that the file does not have: {lost}."
            notes.add("flag", child["key"], said if known else f"{said} {NARROWED}")
        if wanted and not known:
            child["enabled"] = False
            continue
        prerequisite = {"flagKey": parent, "variants": known or given}
        child["prerequisites"] = [*child.get("prerequisites", []), prerequisite]


def _segments(data: Mapping[str, Any], notes: Notes) -> tuple[list[dict[str, Any]], dict[Any, str]]:
    taken: set[str] = set()
    keys: dict[Any, str] = {}
    found = []
    for row in objects(data.get("segments"), "segments"):
        key = unique(key_of(row.get("name"), f"segment-{row.get('id')}"), taken)
        keys[id_of(row.get("id"))] = key
        conditions: dict[str, Any] | None = None
        if isinstance(row.get("constraints"), list):
            try:
                conditions = {
                    "all": [condition_of(item) for item in objects(row["constraints"], "segments.constraints")]
                }
            except NotExpressibleError as error:
                notes.add("segment", key, f"It comes empty, so that it matches nobody: {error}.")
        else:
            notes.add("segment", key, "The export has no constraints of it; it comes empty, and matches nobody.")
        found.append({"key": key, "name": str(row.get("name") or key), "conditions": conditions})
    return found, keys


class _Feature:
    def __init__(
        self,
        name: str,
        strategies: list[dict[str, Any]],
        switch: Mapping[str, Any],
        segment_keys: Mapping[Any, str],
        notes: Notes,
    ) -> None:
        self.name, self.strategies, self.switch, self.segment_keys, self.notes = (
            name, strategies, switch, segment_keys, notes,
        )  # fmt: skip
        self.stickiness: set[str] = set()
        shared = objects(switch.get("variants"), "variants")
        self.variants_of = [objects(row.get("variants"), "variants") or shared for row in strategies]
        listed = [variant for variants in self.variants_of for variant in variants]
        if any(variant.get("overrides") for variant in listed):
            self.note("The overrides of its variants are left out; add targets.")
        if {str(variant.get("stickiness") or "default") for variant in listed} - {"default", "userId"}:
            self.note("Its variants are sticky by an attribute; here one attribute buckets the whole flag.")

    def note(self, detail: str) -> None:
        self.notes.add("flag", self.name, detail)

    def flag(self, feature: Mapping[str, Any]) -> dict[str, Any]:
        named: dict[str, Any] = {}
        for variants in self.variants_of:
            for variant in variants:
                payload = variant.get("payload")
                value = payload.get("value") if isinstance(payload, Mapping) else None
                named.setdefault(
                    key_of(variant.get("name"), "variant"), str(value if value is not None else variant.get("name"))
                )
        is_plain = not named
        if is_plain:
            kind, variants = "boolean", [{"key": "control", "value": False}, {"key": "treatment", "value": True}]
        else:
            kind = "string"
            variants = [
                {"key": "disabled", "value": ""},
                *({"key": key, "value": value} for key, value in named.items()),
            ]
            self.note("Its variants come as text; `disabled` (empty text) stands for the feature being off.")
        first = variants[0]["key"]
        rules = [
            rule
            for number, row in enumerate(self.strategies)
            if (rule := self._rule(number, row, is_plain=is_plain)) is not None
        ]
        default = first
        if not self.strategies and is_plain:
            # A feature without strategies is on for everybody.
            default = "treatment"
        return {
            "key": self.name,
            "name": self.name,
            "description": feature.get("description") or "",
            **({"kind": _KINDS[of]} if (of := str(feature.get("type"))) in _KINDS else {}),
            "type": kind,
            "variants": variants,
            "status": "archived" if feature.get("archived") else "active",
            "enabled": self.switch.get("enabled") is True,
            "defaultVariant": default,
            "offVariant": first,
            "bucketBy": self._bucket_by(),
            "rules": rules,
        }

    def _rule(self, number: int, row: Mapping[str, Any], *, is_plain: bool) -> dict[str, Any] | None:
        title = str(row.get("title") or row.get("name") or "")[:200]
        if row.get("disabled"):
            return None
        found = row.get("parameters")
        parameters: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
        try:
            conditions = self._conditions(row, parameters)
        except NotExpressibleError as error:
            self.note(f"The strategy {title!r} is left out: {error}.")
            return None
        rule: dict[str, Any] = {"priority": (number + 1) * 10, "name": title, "conditions": conditions}
        share = self._share(row, parameters)
        weights = [
            (key_of(variant.get("name"), "variant"), basis_points(variant.get("weight"), 1000) or 0)
            for variant in self.variants_of[number]
        ]
        if is_plain or not weights:
            target = "treatment" if is_plain else "disabled"
            return (
                {**rule, "variant": target} if share == 10_000 else {**rule, "allocation": lay_out([(target, share)])}
            )
        allocation = lay_out([(key, width * share // 10_000) for key, width in weights])
        return {**rule, "allocation": allocation}

    def _conditions(self, row: Mapping[str, Any], parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        conditions = [condition_of(item) for item in objects(row.get("constraints"), "constraints")]
        conditions += self._segments_of(row)
        if row.get("name") == "userWithId":
            ids = [part.strip() for part in str(parameters.get("userIds", "")).split(",") if part.strip()]
            conditions.append({"attribute": "userId", "operator": "in", "value": ids})
        elif row.get("name") not in {"default", *_ROLLOUTS}:
            raise NotExpressibleError(f"the strategy {row.get('name')!r} has no counterpart")
        return conditions

    def _share(self, row: Mapping[str, Any], parameters: Mapping[str, Any]) -> int:
        field = _ROLLOUTS.get(str(row.get("name")))
        if field is None:
            return 10_000
        self.stickiness.add(str(parameters.get("stickiness") or "default"))
        share = basis_points(parameters.get(field, "100"), 100)
        if share not in {None, 0, 10_000}:
            self.note(f"The rollout of {share / 100 if share else 0:g} % keeps its share; who is in it is dealt anew.")
        return share or 0

    def _segments_of(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        found = []
        listed = row.get("segments") or []
        if not isinstance(listed, list):
            raise NotExpressibleError("its segments are no list")
        for number in listed:
            key = self.segment_keys.get(id_of(number))
            if key is None:
                raise NotExpressibleError(f"the segment {number!r} is not in the file")
            found.append({"operator": "in_segment", "value": [key]})
        return found

    def _bucket_by(self) -> str:
        named = self.stickiness - {"default", "userId"}
        if "random" in named:
            self.note("A random rollout comes as one by user id: here a user keeps the variant.")
        named -= {"random"}
        if len(named) == 1 and len(self.stickiness) == 1:
            return named.pop()
        if named:
            self.note(f"It is sticky by {', '.join(sorted(self.stickiness))}; here one attribute buckets: userId.")
        return "userId"


def condition_of(constraint: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a constraint to a condition."""
    operator, attribute = str(constraint.get("operator")), str(constraint.get("contextName") or "")
    values, value = texts(constraint.get("values")), constraint.get("value")
    is_inverted = constraint.get("inverted") is True
    if attribute == "currentTime":
        raise NotExpressibleError("a constraint is on the current time")
    if operator == "NOT_IN":
        operator, is_inverted = "IN", not is_inverted
    positive: dict[str, Any]
    if operator == "IN":
        positive = {"attribute": attribute, "operator": "in", "value": values}
    elif constraint.get("caseInsensitive") and operator in _PATTERNS:
        each = (f"(?i){_PATTERNS[operator].format(re.escape(text))}" for text in values)
        positive = {"any": [{"attribute": attribute, "operator": "matches", "value": pattern} for pattern in each]}
    elif operator in _TEXT:
        positive = {"attribute": attribute, "operator": _TEXT[operator], "value": values}
    elif operator == "STR_CONTAINS":
        positive = {"any": [{"attribute": attribute, "operator": "contains", "value": text} for text in values]}
    elif operator in _NUMBER:
        try:
            number = float(str(value))
        except ValueError as error:
            raise NotExpressibleError(f"{value!r} is no number") from error
        whole = int(number) if number.is_integer() else number
        positive = {"attribute": attribute, "operator": _NUMBER[operator], "value": whole}
    elif operator in _OTHER:
        positive = {"attribute": attribute, "operator": _OTHER[operator], "value": value}
    else:
        raise NotExpressibleError(f"the operator {operator!r} has no counterpart")
    if not is_inverted:
        return positive
    # In Unleash, an inverted constraint holds for a missing attribute too.
    return {"not": positive}
