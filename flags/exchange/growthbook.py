"""GrowthBook: features as its SDK endpoint and its export list them (`features`, `savedGroups`).

A feature has a default value and rules. A rule forces a value, or splits users over variations.
"""

from collections.abc import Mapping
from typing import Any

from flags.exchange.foreign_values import (
    basis_points,
    key_of,
    lay_out,
    objects,
    refuse_other_environment,
    type_of,
    unique,
)
from flags.exchange.left_out import NARROWED
from flags.exchange.notes import Notes, NotExpressibleError
from tenancy.errors import Invalid

_USER = "id"
_GROUPS = {"$and": "all", "$or": "any"}
_COMPARED = {
    "$eq": "equals",
    "$gt": "greater_than",
    "$gte": "greater_or_equal",
    "$lt": "less_than",
    "$lte": "less_or_equal",
    "$in": "in",
    "$regex": "matches",
    "$veq": "semver_equal",
    "$vgt": "semver_greater",
    "$vgte": "semver_greater_or_equal",
    "$vlt": "semver_less",
    "$vlte": "semver_less_or_equal",
}
# These hold for a missing attribute too, as not around their opposites does here.
_OPPOSITES = {"$ne": "$eq", "$nin": "$in", "$notRegex": "$regex", "$vne": "$veq", "$notInGroup": "$inGroup"}

SavedGroups = Mapping[str, Any]


def convert(data: Mapping[str, Any], environment: str | None, notes: Notes) -> dict[str, Any]:
    refuse_other_environment(environment, ())
    features = data.get("features")
    if not isinstance(features, Mapping) or not all(isinstance(row, Mapping) for row in features.values()):
        raise Invalid(
            "The file has no features; send what GrowthBook's SDK endpoint answers.",
            attr="data.features",
            code="unreadable",
        )
    groups = data.get("savedGroups")
    saved = groups if isinstance(groups, Mapping) else {}
    return {"flags": [_Feature(str(key), row, saved, notes).flag() for key, row in features.items()], "segments": []}


class _Feature:
    def __init__(self, key: str, row: Mapping[str, Any], saved: SavedGroups, notes: Notes) -> None:
        self.key, self.row, self.saved = key, row, saved
        self.note = lambda detail: notes.add("flag", key, detail)
        self.values: list[Any] = []
        self.units: list[str | list[str]] = []
        self.is_narrowed = False

    def flag(self) -> dict[str, Any]:
        default = self._index(self.row.get("defaultValue"))
        rules = [
            rule
            for number, row in enumerate(objects(self.row.get("rules"), "features.rules"), 1)
            if (rule := self._rule(number, row)) is not None
        ]
        for missing in (False, True):
            # A boolean flag has both of its variants.
            if self.values and all(isinstance(value, bool) for value in self.values):
                self._index(missing)
        if len(self.values) == 1:
            self.values.append(self.values[0])
        kind = type_of(self.values)
        names = self._names(kind)
        variants = [{"key": name, "value": value} for name, value in zip(names, self.values, strict=True)]
        if self.is_narrowed:
            self.note(NARROWED)
        return {
            "key": self.key,
            "name": self.key,
            "description": str(self.row.get("description") or ""),
            "type": kind,
            "variants": variants,
            "enabled": not self.is_narrowed,
            "defaultVariant": names[default],
            # Off is false, also where the default is true: then a flag that comes switched off lets nobody in.
            "offVariant": "control" if kind == "boolean" else names[default],
            "bucketBy": self._bucket_by(),
            "rules": [_named(rule, names) for rule in rules],
        }

    def _index(self, value: Any) -> int:
        """The place of a value among those that the feature has anywhere."""
        for index, known in enumerate(self.values):
            if type(known) is type(value) and known == value:
                return index
        self.values.append(value)
        return len(self.values) - 1

    def _names(self, kind: str) -> list[str]:
        if kind == "boolean":
            return ["treatment" if value else "control" for value in self.values]
        taken: set[str] = set()
        return [
            unique(key_of(value if kind in {"string", "number"} else "", f"value-{number}"), taken)
            for number, value in enumerate(self.values)
        ]

    def _rule(self, number: int, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """A rule whose variants are places among the values."""
        name = str(row.get("name") or row.get("id") or f"Rule {number}")[:200]
        if row.get("enabled") is False or row.get("active") is False:
            return None
        try:
            conditions = _conditions_of(row, self.saved)
            share = _share(row.get("coverage"), "coverage", missing=10_000)
            weights = _weights(row)
        except NotExpressibleError as error:
            self.note(f"{name} is left out: {error}.")
            self.is_narrowed = True
            return None
        rule: dict[str, Any] = {"priority": number * 10, "name": name, "conditions": conditions}
        variations = row.get("variations")
        if isinstance(variations, list) and variations:
            self.note(f"The experiment {name} comes as a rule with its shares; who is in which is dealt anew.")
            return {**rule, "allocation": self._split(row, variations, weights, share)}
        if "force" not in row:
            self.note(f"{name} is left out: it gives no value.")
            return None
        if share == 10_000:
            return {**rule, "variant": self._index(row["force"])}
        self._hashed_by(row)
        self.note(f"{name} keeps its share of {share / 100:g} %; who is in it is dealt anew.")
        return {**rule, "allocation": lay_out([(str(self._index(row["force"])), share)])}

    def _split(
        self, row: Mapping[str, Any], variations: list[Any], weights: list[int], coverage: int
    ) -> list[list[Any]]:
        self._hashed_by(row)
        shares = [
            (str(self._index(value)), weight * coverage // 10_000)
            for value, weight in zip(variations, weights, strict=True)
        ]
        return lay_out(shares)

    def _hashed_by(self, row: Mapping[str, Any]) -> None:
        names = [str(row.get("hashAttribute") or _USER)]
        if row.get("fallbackAttribute"):
            names.append(str(row["fallbackAttribute"]))
        names = ["userId" if name == _USER else name for name in dict.fromkeys(names)]
        self.units.append(names if len(names) > 1 else names[0])

    def _bucket_by(self) -> str | list[str]:
        if any(unit != self.units[0] for unit in self.units):
            self.note("Its rules hash different attributes; here one bucketBy serves all of them: that of the first.")
        return self.units[0] if self.units else "userId"


def _share(value: Any, name: str, *, missing: int) -> int:
    """A share as basis points; `missing` where there is none. Raises NotExpressibleError."""
    found = missing if value is None else basis_points(value, 1)
    if found is None:
        raise NotExpressibleError(f"its {name} {value!r} is no share between 0 and 1")
    return found


def _weights(row: Mapping[str, Any]) -> list[int]:
    """The variations' weights as basis points; even where none or too few are given. Raises NotExpressibleError."""
    variations, found = row.get("variations"), row.get("weights")
    count = len(variations) if isinstance(variations, list) else 0
    if not isinstance(found, list) or len(found) != count:
        return [round(10_000 / count)] * count if count else []
    return [_share(weight, "weight", missing=0) for weight in found]


def _conditions_of(row: Mapping[str, Any], saved: SavedGroups) -> dict[str, Any] | list[dict[str, Any]]:
    """Whom the rule is for; everybody without a condition. Raises NotExpressibleError."""
    if row.get("parentConditions"):
        raise NotExpressibleError("it asks for another feature; add a prerequisite")
    if any(row.get(field) for field in ("namespace", "filters", "ranges")):
        raise NotExpressibleError("it has a namespace or ranges of its own")
    return tree_of(row["condition"], saved) if row.get("condition") else []


def _named(rule: dict[str, Any], names: list[str]) -> dict[str, Any]:
    if "variant" in rule:
        return {**rule, "variant": names[rule["variant"]]}
    return {**rule, "allocation": [[start, end, names[int(index)]] for start, end, index in rule["allocation"]]}


def tree_of(condition: Any, saved: SavedGroups) -> dict[str, Any]:
    """Convert a condition in the manner of MongoDB to a tree. Raises NotExpressibleError."""
    if not isinstance(condition, Mapping):
        raise NotExpressibleError("a condition is no object")
    nodes = [_member(str(name), value, saved) for name, value in condition.items()]
    return nodes[0] if len(nodes) == 1 else {"all": nodes}


def _member(name: str, value: Any, saved: SavedGroups) -> dict[str, Any]:
    if name in _GROUPS or name == "$nor":
        if not isinstance(value, list):
            raise NotExpressibleError(f"{name} is no list")
        nodes = [tree_of(item, saved) for item in value]
        # An empty $or holds for everybody in GrowthBook.
        group = {"all": nodes} if name == "$and" or not nodes else {"any": nodes}
        return {"not": group} if name == "$nor" and nodes else group
    if name == "$not":
        return {"not": tree_of(value, saved)}
    if name.startswith("$") or "." in name:
        raise NotExpressibleError(f"{name!r} has no counterpart")
    return _compared("userId" if name == _USER else name, value, saved)


def _compared(attribute: str, wanted: Any, saved: SavedGroups) -> dict[str, Any]:
    if isinstance(wanted, Mapping) and wanted and all(str(operator).startswith("$") for operator in wanted):
        nodes = [_operator(attribute, str(operator), value, saved) for operator, value in wanted.items()]
        return nodes[0] if len(nodes) == 1 else {"all": nodes}
    if isinstance(wanted, (Mapping, list)):
        raise NotExpressibleError(f"{attribute!r} is compared with a list or an object")
    if wanted is None:
        return {"attribute": attribute, "operator": "not_exists"}
    return {"attribute": attribute, "operator": "equals", "value": wanted}


def _operator(attribute: str, operator: str, value: Any, saved: SavedGroups) -> dict[str, Any]:
    if operator in _OPPOSITES:
        return {"not": _operator(attribute, _OPPOSITES[operator], value, saved)}
    if operator == "$not":
        return {"not": _compared(attribute, value, saved)}
    if operator == "$exists":
        return {"attribute": attribute, "operator": "exists" if value else "not_exists"}
    if operator == "$inGroup":
        members = saved.get(str(value))
        if not isinstance(members, list):
            raise NotExpressibleError(f"the saved group {value!r} is not in the file")
        return {"attribute": attribute, "operator": "in", "value": members}
    if operator == "$eq" and value is None:
        return {"attribute": attribute, "operator": "not_exists"}
    if operator not in _COMPARED:
        raise NotExpressibleError(f"the operator {operator!r} has no counterpart")
    return {"attribute": attribute, "operator": _COMPARED[operator], "value": value}
