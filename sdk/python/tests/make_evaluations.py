"""Writes the known answers of `sdk/contract/cases/evaluations.json`, for engines in every language.

Run it only for a new contract version: `python tests/make_evaluations.py`. Answers that change without one are a bug.
"""

from __future__ import annotations

import json
import random
from typing import Any

from contract import CONTRACT
from documents import condition, experiment, flag, rule, snapshot
from openflagship.engine import CompiledEnvironment, Context, deal, validate_environment

FILE = CONTRACT / "cases" / "evaluations.json"
ABOUT = (
    "Known answers of the evaluation contract, version 1. Every evaluation lists, by flag key, what it gives: variant, "
    "reason, and where they apply ruleId, experiment, detail, errorCode; unit is what is hashed, null for none."
)
VALUES = ["DE", "FR", "pro", "free", "", "1.10.0", "1.9.0-rc.1", "2026-01-01T00:00:00Z", 0, 1, 2.5, -7, True, False]
ATTRIBUTES = ["country", "plan", "age", "version", "since", "tags", "deviceId"]


def random_condition(chance: random.Random) -> dict[str, Any]:
    attribute = chance.choice([*ATTRIBUTES, "userId"])
    operator, value = chance.choice(
        [
            ("equals", chance.choice(VALUES)),
            ("not_equals", chance.choice(VALUES)),
            ("in", chance.sample(VALUES, 3)),
            ("not_in", chance.sample(VALUES, 3)),
            ("greater_than", 1),
            ("less_or_equal", 2.5),
            ("contains", "r"),
            ("not_contains", 1),
            ("starts_with", ["D", "user-1"]),
            ("ends_with", "o"),
            ("matches", "^[a-z]+$"),
            ("semver_greater", "1.9"),
            ("semver_less_or_equal", "v1.9.0"),
            ("before", "2026-01-01T01:00:00+02:00"),
            ("after", "2025-12-31T23:59:59.999Z"),
            ("exists", None),
            ("not_exists", None),
        ]
    )
    return condition(attribute, operator, value)


def random_tree(chance: random.Random, depth: int) -> dict[str, Any]:
    kind = chance.randrange(6) if depth else 0
    if kind == 1:
        return {"all": [random_tree(chance, depth - 1) for _ in range(2)]}
    if kind == 2:
        return {"any": [random_tree(chance, depth - 1) for _ in range(2)]}
    if kind == 3:
        return {"not": random_tree(chance, depth - 1)}
    if kind == 4:
        return {"operator": chance.choice(["in_segment", "not_in_segment"]), "value": [chance.choice(["beta", "eu"])]}
    return random_condition(chance)


def random_flag(chance: random.Random, key: str, others: list[str]) -> dict[str, Any]:
    def variant() -> str:
        return chance.choice(["control", "treatment"])

    def split() -> list[list[Any]]:
        first = chance.randrange(0, 10_001)
        return [list(item) for item in deal([("treatment", first), ("control", chance.randrange(0, 10_001 - first))])]

    rules = []
    for number in range(chance.randrange(4)):
        conditions = [random_tree(chance, 2) for _ in range(chance.randrange(1, 3))]
        served = {"variant": variant()} if chance.random() < 0.5 else {"allocation": split()}
        rules.append(rule(conditions, number, **served))
    document = flag(
        key=key,
        enabled=chance.random() < 0.9,
        defaultVariant=variant(),
        offVariant=variant(),
        bucketBy=chance.choice(["userId", "userId", "deviceId"]),
        salt=chance.choice([key, "common"]),
        targets=[{"variant": variant(), "userIds": ["user-1"]}] if chance.random() < 0.3 else [],
        rules=rules,
        allocation=split() if chance.random() < 0.8 else [],
    )
    if chance.random() < 0.1:
        document["killSwitchVariant"] = variant()
    if others and chance.random() < 0.4:
        document["prerequisites"] = [{"flagKey": chance.choice(others), "variants": [variant()]}]
    if chance.random() < 0.4:
        start = chance.randrange(0, 5000)
        audience = random_tree(chance, 1) if chance.random() < 0.5 else None
        document["experiment"] = experiment(ranges=[[start, start + 4000]], audience=audience)
    return document


def random_context(chance: random.Random) -> tuple[Any, dict[str, Any]]:
    user_id = chance.choice([f"user-{chance.randrange(50)}", f"user-{chance.randrange(50)}", "ünïcødé", "", None])
    attributes: dict[str, Any] = {}
    for name in ATTRIBUTES:
        if chance.random() < 0.7:
            value = chance.choice(VALUES)
            attributes[name] = chance.choice([value, value, value, [value, chance.choice(VALUES)], None, {"a": 1}, []])
    return user_id, attributes


def shown(environment: CompiledEnvironment, user_id: Any, attributes: dict[str, Any]) -> dict[str, Any]:
    context = Context(user_id, attributes)
    names = ("variant", "reason", "ruleId", "experiment", "detail", "errorCode")
    answers = {}
    for key, given in sorted(environment.evaluate_all(context).items()):
        body = given.to_dict()
        answers[key] = {name: body[name] for name in names if name in body} | {"unit": environment.unit(key, context)}
    return answers


def make() -> dict[str, Any]:
    chance = random.Random(20260101)
    cases = []
    for number in range(60):
        keys = [f"flag-{place}" for place in range(4)]
        flags = [random_flag(chance, key, keys[:place]) for place, key in enumerate(keys)]
        segments = [
            {"key": "beta", "included": ["user-2"], "excluded": ["user-3"], "conditions": random_condition(chance)},
            {
                "key": "eu",
                "conditions": {"any": [random_condition(chance), {"operator": "in_segment", "value": ["beta"]}]},
            },
        ]
        document = snapshot(*flags, segments=segments, environment={"salt": "" if number % 3 else "staging"})
        validate_environment(document)
        environment = CompiledEnvironment.from_document(document)
        evaluations = []
        for _ in range(12):
            user_id, attributes = random_context(chance)
            answers = shown(environment, user_id, attributes)
            evaluations.append({"userId": user_id, "attributes": attributes, "answers": answers})
        cases.append({"snapshot": document, "evaluations": evaluations})
    return {"about": ABOUT, "cases": cases}


def main() -> None:
    FILE.write_text(json.dumps(make(), ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8")


if __name__ == "__main__":
    main()
