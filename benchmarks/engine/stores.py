"""The stores whose loading is measured, written out as snapshots."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from benchmarks.engine.rivals import openflagship_snapshot
from benchmarks.engine.workload import FLAGS

Condition = tuple[str, str, Any]


def same_shape(number: int, place: int, _: random.Random) -> list[Condition]:
    return [("country", "equals", f"C{number}"), ("plan", "in", ["free", "pro", f"plan-{place}"])]


def mixed(_: int, place: int, chance: random.Random) -> list[Condition]:
    every: list[Condition] = [
        ("country", "equals", "DE"),
        ("plan", "in", ["pro", "team"]),
        ("age", "greater_than", place),
        ("email", "starts_with", "bob"),
        ("version", "semver_less", f"1.2.{place}"),
        ("since", "before", "2026-01-01T00:00:00Z"),
        ("device", "contains", "phone"),
        ("tags", "not_in", ["a", "b"]),
        ("beta", "exists", None),
        ("mail", "matches", f"^[a-z]+{place}@example"),
    ]
    return chance.sample(every, 2)


def ten_rules(conditions: Callable[[int, int, random.Random], list[Condition]]) -> dict[str, Any]:
    chance = random.Random(1)  # the same store every time
    flags = {}
    for number in range(1000):
        rules = [
            {
                "id": f"rule-{number}-{place}",
                "priority": place,
                "variant": "on",
                "conditions": [
                    {"attribute": attribute, "operator": operator, "value": value}
                    for attribute, operator, value in conditions(number, place, chance)
                ],
            }
            for place in range(10)
        ]
        key = f"flag-{number:04d}"
        variants = [{"key": "off", "value": "OFF"}, {"key": "on", "value": "ON"}]
        flags[key] = {"key": key, "type": "string", "enabled": True, "variants": variants, "rules": rules}
        flags[key]["allocation"] = [[0, 2500, "on"]]
    return {"contract": 1, "version": 1, "flags": flags}


STORES: dict[str, Callable[[], dict[str, Any]]] = {
    "workload": lambda: openflagship_snapshot(FLAGS),
    "same": lambda: ten_rules(same_shape),
    "mixed": lambda: ten_rules(mixed),
}
