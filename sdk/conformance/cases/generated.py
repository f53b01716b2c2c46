"""Documents and contexts from a seeded source: small values that meet each other often, and odd ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

_KEYS = ("alpha", "beta", "gamma", "delta")
_SEGMENTS = ("staff", "testers")
_ATTRIBUTES = ("country", "plan", "age", "version", "since", "tags", "deviceId")
_TEXTS = ("", "DE", "pro", "1.2.0", "1.10", "v2", "2026-01-01T00:00:00Z", "u1", "ünï")
_NUMBERS = (0, 1, 1.5, -3, 2**53, 1_767_225_600_000)
# By type, the values of the variants; a boolean flag has two.
_VALUES: dict[str, tuple[Any, ...]] = {
    "boolean": (False, True),
    "string": ("", "value b", "ünïcødé 😀"),
    "number": (0, -2.5, 2**53),
    "json": ({"rows": [1, {"a": None}], "ü": 0.5}, [], "text"),
}
TYPES = frozenset(_VALUES)
# All steps that an evaluation can end at. The documents here reach every one.
REASONS = frozenset({
    "KILL_SWITCH", "DISABLED", "PREREQUISITE_FAILED", "TARGET_MATCH", "RULE_MATCH", "EXPERIMENT", "ROLLOUT", "DEFAULT",
})  # fmt: skip
_LAYERS = ({"key": None, "salt": "layer:own"}, {"key": "checkout", "salt": "layer:checkout"})
_USERS = (None, "", "u1", "u2", "u3", "ünïcødé", " spaced ")


def _condition(source: random.Random) -> dict[str, Any]:
    attribute = source.choice(_ATTRIBUTES)
    text, number = source.choice(_TEXTS), source.choice(_NUMBERS)
    operators: dict[str, Any] = {
        "equals": source.choice((text, number, True)),
        "not_equals": source.choice((text, number)),
        "contains": text,
        "in": source.sample(_TEXTS, 3),
        "not_in": source.sample(_TEXTS, 2),
        "greater_than": number,
        "less_or_equal": number,
        "starts_with": text,
        "ends_with": [text, "0"],
        "matches": source.choice(("^u[12]$", "pro", "(?i)de", "[0-9]+")),
        "semver_greater": source.choice(("1.2", "v1.2.0", "2")),
        "before": "2026-01-01T00:00:00Z",
        "after": "2025-12-31T23:00:00-02:00",
        "exists": None,
        "not_exists": None,
        "in_segment": source.sample((*_SEGMENTS, "unknown"), 1),
        "not_in_segment": source.sample(_SEGMENTS, 1),
    }
    operator = source.choice(tuple(operators))
    if operator in {"exists", "not_exists"}:
        return {"attribute": attribute, "operator": operator}
    if operator.endswith("segment"):
        return {"operator": operator, "value": operators[operator]}
    return {"attribute": attribute, "operator": operator, "value": operators[operator]}


def _tree(source: random.Random, depth: int = 2) -> dict[str, Any]:
    if depth == 0 or source.random() < 0.5:
        return _condition(source)
    kind = source.choice(("all", "any", "not"))
    inner = [_tree(source, depth - 1) for _ in range(source.randint(0, 3))]
    return {"not": _tree(source, depth - 1)} if kind == "not" else {kind: inner}


def _allocation(source: random.Random, variants: Sequence[str]) -> list[list[Any]]:
    edges = sorted(source.sample(range(10_001), 6))
    return [[start, end, source.choice(variants)] for start, end in pairwise(edges) if source.random() < 0.8]


def _experiment(source: random.Random, key: str, variants: Sequence[str]) -> dict[str, Any]:
    """With a split of its own or without, and at a place among the rules or after them."""
    start = source.randrange(9_000)
    return {
        "id": f"{key}-test",
        "status": source.choice(("running", "running", "paused")),
        "layer": source.choice(_LAYERS),
        "ranges": [[start, source.randint(start + 1, 10_000)]],
        "controlVariant": source.choice(variants),
        "audience": _tree(source) if source.random() < 0.4 else None,
        "allocation": _allocation(source, variants) if source.random() < 0.5 else None,
        "priority": source.choice((None, 5, 15, 25, 35)),
    }


def _flag(source: random.Random, key: str) -> dict[str, Any]:
    kind = source.choice(tuple(_VALUES))
    values = dict(zip("abc", source.sample(_VALUES[kind], len(_VALUES[kind])), strict=False))
    variants = tuple(values)
    rules = []
    for number in range(source.randint(0, 3)):
        rule: dict[str, Any] = {"id": f"r{number}", "priority": 30 - 10 * number}
        rule["conditions"] = [_condition(source)] if source.random() < 0.5 else _tree(source)
        if source.random() < 0.5:
            rule["variant"] = source.choice(variants)
        else:
            rule["allocation"] = _allocation(source, variants)
        rules.append(rule)
    others = [other for other in (*_KEYS, "unknown") if other != key]
    prerequisite = {"flagKey": source.choice(others), "variants": source.sample("abc", 2)}
    bucket_by = source.choice(("userId", "userId", "deviceId", ["deviceId", "country"]))
    # An experiment counts one kind of unit.
    has_experiment = isinstance(bucket_by, str) and source.random() < 0.4
    return {
        "key": key,
        "type": kind,
        "enabled": source.random() < 0.9,
        "variants": [{"key": name, "value": value} for name, value in values.items()],
        "defaultVariant": source.choice(variants),
        "offVariant": source.choice(variants),
        "killSwitchVariant": source.choice(variants) if source.random() < 0.05 else None,
        "bucketBy": bucket_by,
        "salt": source.choice((key, "shared")),
        "targets": [{"variant": source.choice(variants), "userIds": [source.choice(("u1", "u2"))]}],
        "prerequisites": [prerequisite] if source.random() < 0.2 else [],
        "rules": rules,
        "experiment": _experiment(source, key, variants) if has_experiment else None,
        "allocation": _allocation(source, variants),
    }


def environment(source: random.Random) -> dict[str, Any]:
    """A whole configuration: up to four flags that may need each other, and two segments."""
    keys = source.sample(_KEYS, source.randint(1, 4))
    segments = {
        key: {"key": key, "included": source.sample(("u1", "u2", "u3"), 1), "excluded": [], "conditions": None}
        for key in _SEGMENTS
    }
    return {
        "contract": 1,
        "environment": {"salt": source.choice(("", "env"))},
        "version": 1,
        "flags": {key: _flag(source, key) for key in keys},
        "segments": segments,
    }


def context(source: random.Random) -> tuple[Any, dict[str, Any]]:
    """A user id, or none, and attributes."""
    values: tuple[Any, ...] = (*_TEXTS, *_NUMBERS, True, None, ["DE", "pro"], [], {"a": 1})
    names = source.sample(_ATTRIBUTES, source.randint(0, len(_ATTRIBUTES)))
    return source.choice(_USERS), {name: source.choice(values) for name in names}
