"""GrowthBook's features: nested conditions come as trees, a fallback attribute as a list of names."""

from typing import Any

import pytest
from openflagship.engine import CompiledEnvironment, Context

from flags.exchange.formats import convert
from flags.exchange.growthbook import tree_of
from flags.exchange.notes import NotExpressibleError

FEATURES: dict[str, Any] = {
    "checkout": {
        "defaultValue": False,
        "rules": [
            {
                "id": "abroad",
                "force": True,
                "condition": {
                    "$or": [{"country": {"$in": ["DE", "FR"]}}, {"plan": "pro", "$not": {"age": {"$lt": 18}}}],
                    "email": {"$ne": "eve@example.com"},
                },
            },
            {"id": "share", "force": True, "coverage": 0.25, "hashAttribute": "deviceId", "fallbackAttribute": "id"},
        ],
    },
    "colour": {
        "defaultValue": "red",
        "rules": [{"key": "test", "variations": ["red", "blue"], "weights": [0.4, 0.6], "coverage": 0.5}],
    },
    "denied": {
        "defaultValue": True,
        "rules": [{"id": "deny", "force": False, "parentConditions": [{"id": "checkout", "condition": {}}]}],
    },
}  # fmt: skip


@pytest.mark.parametrize(
    "rule",
    [
        {"id": "r", "force": True, "coverage": "x"},
        {"id": "r", "force": True, "coverage": 1.5},
        {"id": "r", "force": True, "coverage": True},
        {"id": "r", "variations": [False, True], "coverage": -1},
        {"id": "r", "variations": [False, True], "weights": [0.5, "much"]},
    ],
)
def test_share__that_cannot_be_read__lets_nobody_in(rule):
    data, notes = convert("growthbook", {"features": {"a": {"defaultValue": False, "rules": [rule]}}}, environment=None)

    (flag,) = data["flags"]
    assert (flag["enabled"], flag["rules"]) == (False, [])
    assert any("is no share" in note["detail"] for note in notes)


@pytest.fixture(scope="module")
def converted() -> tuple[dict[str, dict[str, Any]], dict[str, list[str]]]:
    data, notes = convert("growthbook", {"features": FEATURES}, environment=None)
    flags = {}
    for flag in data["flags"]:
        rules = [{**rule, "id": f"rule-{number}"} for number, rule in enumerate(flag["rules"])]
        flags[flag["key"]] = {**flag, "rules": rules}
    details: dict[str, list[str]] = {}
    for note in notes:
        details.setdefault(note["key"], []).append(note["detail"])
    return flags, details


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"country": "DE"}, "RULE_MATCH"),
        ({"country": "DE", "email": "eve@example.com"}, "DEFAULT"),
        ({"plan": "pro", "age": 18}, "RULE_MATCH"),
        ({"plan": "pro"}, "RULE_MATCH"),
        ({"plan": "pro", "age": 17}, "DEFAULT"),
        ({"country": "US"}, "DEFAULT"),
    ],
)
def test_growthbook__nested_condition__decides_as_it_did(converted, attributes, reason):
    document = {**converted[0]["checkout"], "rules": converted[0]["checkout"]["rules"][:1]}
    compiled = CompiledEnvironment.from_document({"contract": 1, "version": 1, "flags": {"checkout": document}})

    assert compiled.evaluate("checkout", Context("ann", attributes)).reason == reason


def test_growthbook__values_shares_and_units__are_carried_over(converted):
    flags, notes = converted

    assert flags["checkout"]["variants"] == [{"key": "control", "value": False}, {"key": "treatment", "value": True}]
    assert (flags["checkout"]["bucketBy"], flags["checkout"]["defaultVariant"]) == (["deviceId", "userId"], "control")
    assert flags["checkout"]["rules"][1]["allocation"] == [[0, 2500, "treatment"]]
    assert flags["colour"]["rules"][0]["allocation"] == [[0, 2000, "red"], [2000, 5000, "blue"]]
    assert (flags["colour"]["type"], flags["colour"]["bucketBy"], flags["colour"]["enabled"]) == (
        "string", "userId", True
    )  # fmt: skip
    # A deny rule that cannot be said must not let anybody in.
    assert (flags["denied"]["enabled"], flags["denied"]["offVariant"]) == (False, "control")
    assert any("asks for another feature" in detail for detail in notes["denied"])


@pytest.mark.parametrize(
    ("condition", "tree"),
    [
        ({"a": 1}, {"attribute": "a", "operator": "equals", "value": 1}),
        ({"id": None}, {"attribute": "userId", "operator": "not_exists"}),
        ({"a": {"$gte": 1, "$lt": 5}},
         {"all": [{"attribute": "a", "operator": "greater_or_equal", "value": 1},
                  {"attribute": "a", "operator": "less_than", "value": 5}]}),
        ({"a": {"$not": {"$regex": "^x"}}}, {"not": {"attribute": "a", "operator": "matches", "value": "^x"}}),
        ({"$nor": [{"a": 1}]}, {"not": {"any": [{"attribute": "a", "operator": "equals", "value": 1}]}}),
        ({"$or": []}, {"all": []}),
        ({"a": {"$notInGroup": "g"}}, {"not": {"attribute": "a", "operator": "in", "value": ["u1"]}}),
        ({"a": {"$exists": False}}, {"attribute": "a", "operator": "not_exists"}),
    ],
)  # fmt: skip
def test_tree_of__condition__is_its_tree(condition, tree):
    assert tree_of(condition, {"g": ["u1"]}) == tree


@pytest.mark.parametrize(
    "condition",
    [[], {"a.b": 1}, {"a": {"$elemMatch": 1}}, {"a": [1]}, {"$or": 1}, {"a": {"b": 1}}, {"a": {"$inGroup": "none"}}],
)
def test_tree_of__what_has_no_counterpart__is_said(condition):
    with pytest.raises(NotExpressibleError):
        tree_of(condition, {})
