"""Generated flags that reach every step of an evaluation, and contexts of all sorts, for comparing surfaces."""

import random
from typing import Any

from openflagship.engine import deal

SEED = 20_261_120
VALUES: dict[str, list[Any]] = {
    "country": ["DE", "US", "FR", None],
    "plan": ["free", "pro", "team", 7],
    "age": [17, 18, 42.5, "42"],
    "version": ["1.2.3", "v2", "2.0.0-rc.1", "new"],
    "since": ["2026-01-01T00:00:00Z", "2026-06-01T12:00:00+02:00", 1_780_000_000_000, "yesterday"],
    "tags": [["a", "b"], [], ["c"], "a"],
    "deviceId": ["d-1", "", 99, None],
}
OPERATORS: list[tuple[str, str, list[Any]]] = [
    ("country", "equals", ["DE", "US"]),
    ("country", "not_in", [["DE"], []]),
    ("plan", "in", [["pro", "team"], [7]]),
    ("plan", "starts_with", ["p", ["t", "f"]]),
    ("age", "greater_or_equal", [18, 42.5]),
    ("age", "less_than", [18]),
    ("version", "semver_greater", ["1.0", "2.0.0-beta"]),
    ("since", "before", ["2026-03-01T00:00:00Z"]),
    ("tags", "contains", ["a"]),
    ("tags", "not_contains", ["c"]),
    ("country", "matches", ["^(DE|FR)$"]),
    ("plan", "exists", [None]),
    ("deviceId", "not_exists", [None]),
]


def _condition(chance: random.Random) -> dict[str, Any]:
    if chance.random() < 0.15:
        return {"operator": chance.choice(["in_segment", "not_in_segment"]), "value": ["staff", "unknown"]}
    attribute, operator, values = chance.choice(OPERATORS)
    value = chance.choice(values)
    return {"attribute": attribute, "operator": operator, **({} if value is None else {"value": value})}


def _tree(chance: random.Random, depth: int = 2) -> dict[str, Any]:
    if depth == 0:
        return _condition(chance)
    kind = chance.choice(["all", "any", "not"])
    if kind == "not":
        return {"not": _tree(chance, depth - 1)}
    return {kind: [_tree(chance, depth - 1) for _ in range(chance.randrange(3))]}


def _flag(chance: random.Random, number: int) -> dict[str, Any]:
    variants = ["a", "b", "c"]
    rules = []
    for priority in range(chance.randrange(4)):
        outcome: dict[str, Any] = (
            {"variant": chance.choice(variants)}
            if chance.random() < 0.5
            else {"allocation": deal([("a", chance.randrange(5000)), ("b", chance.randrange(5000))])}
        )
        conditions = (
            _tree(chance) if chance.random() < 0.3 else [_condition(chance) for _ in range(chance.randrange(1, 3))]
        )
        rules.append({"id": f"r{priority}", "priority": priority, "conditions": conditions, **outcome})
    experiment = {
        "id": f"experiment-{number}",
        "status": "running",
        "layer": {"key": None, "salt": f"layer:{number}"},
        "ranges": [[0, chance.randrange(1, 10_001)]],
        "controlVariant": "a",
        "audience": None if chance.random() < 0.5 else {"all": [_condition(chance)]},
    }
    return {
        "key": f"flag-{number}",
        "type": "json",
        "variants": [{"key": key, "value": {"variant": key, "share": 0.5}} for key in variants],
        "enabled": chance.random() < 0.9,
        "killSwitchVariant": "b" if chance.random() < 0.05 else None,
        "bucketBy": chance.choice(["userId"] * 7 + ["deviceId", "deviceId", ["deviceId", "country"]]),
        "prerequisites": [{"flagKey": f"flag-{number - 1}", "variants": ["a", "b"]}]
        if number and chance.random() < 0.2
        else [],
        "targets": [{"variant": "c", "userIds": ["user-3"]}] if chance.random() < 0.2 else [],
        "rules": rules,
        "experiment": experiment if chance.random() < 0.3 else None,
        "allocation": deal([("b", chance.randrange(6000)), ("c", chance.randrange(4000))]),
    }


def context(chance: random.Random, number: int) -> dict[str, Any]:
    attributes = {name: chance.choice(values) for name, values in VALUES.items() if chance.random() < 0.7}
    return {"userId": None if number == 0 else f"user-{number}", "attributes": attributes}


def document(flags: int) -> dict[str, Any]:
    chance = random.Random(SEED)
    return {
        "contract": 1,
        "environment": {"organization": "acme", "project": "web", "key": "production", "salt": "s"},
        "version": 7,
        "flags": {flag["key"]: flag for flag in (_flag(chance, number) for number in range(flags))},
        "segments": {"staff": {"key": "staff", "included": ["user-1", "user-2"], "conditions": None}},
    }


def contexts(count: int) -> list[dict[str, Any]]:
    """As the evaluate API takes them; the first is nobody."""
    chance = random.Random(SEED + 1)
    return [context(chance, number) for number in range(count)]
