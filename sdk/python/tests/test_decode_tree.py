"""Writing conditions, groups and segments: what is refused, and what an engine makes of it all the same."""

from __future__ import annotations

from typing import Any

import pytest
from adapter import evaluate_tree
from documents import condition
from openflagship.engine import DecodeError, decode_segment, decode_tree, encode_tree


def found(decode: Any, document: Any) -> list[tuple[str, str]]:
    with pytest.raises(DecodeError) as caught:
        decode(document)
    return [(problem.path, problem.code) for problem in caught.value.problems]


FINE = condition("x", "exists")


def nested(depth: int) -> dict[str, Any]:
    return {"not": nested(depth - 1)} if depth else FINE


PROBLEMS: list[tuple[Any, str, str]] = [
    ("everyone", "", "wrong_type"),
    ({}, "operator", "required"),
    ({"operator": ["in"]}, "operator", "unknown_operator"),
    (condition("x", "resembles", 1), "operator", "unknown_operator"),
    (condition("", "equals", 1), "attribute", "required"),
    (condition("\ud800", "equals", 1), "attribute", "required"),
    ({"operator": "equals", "value": 1}, "attribute", "required"),
    (condition("x", "equals", [1]), "value", "malformed_value"),
    (condition("x", "exists", True), "value", "malformed_value"),
    (condition("x", "after", 1_767_225_600_000), "value", "malformed_value"),
    ({"attribute": "x", "operator": "in_segment", "value": ["beta"]}, "attribute", "unexpected"),
    ({"operator": "in_segment", "value": "beta"}, "value", "malformed_value"),
    ({"all": [FINE], "any": [FINE]}, "", "ambiguous"),
    ({"all": [FINE], "operator": "exists", "attribute": "x"}, "", "ambiguous"),
    ({"all": FINE}, "all", "wrong_type"),
    ({"any": [FINE, None]}, "any[1]", "wrong_type"),
    ({"not": [FINE]}, "not", "wrong_type"),
    (nested(6), "not.not.not.not.not", "too_deep"),
]


@pytest.mark.parametrize(("document", "path", "code"), PROBLEMS, ids=[f"{path}-{code}" for _, path, code in PROBLEMS])
def test_decode_tree__one_thing_wrong__is_the_one_problem(document: Any, path: str, code: str) -> None:
    assert found(decode_tree, document) == [(path, code)]


@pytest.mark.parametrize(
    "document",
    [
        "everyone",
        {},
        condition("x", "resembles", 1),
        condition("", "exists"),
        {"all": FINE},
        {"all": [FINE], "any": []},
    ],
)
def test_evaluate__tree_that_is_not_understood__is_never_passed_over(document: Any) -> None:
    for tree in (document, {"any": [document, FINE]}, {"not": document}):
        assert evaluate_tree(tree, {"x": 1}) is None


def test_evaluate__deeper_than_we_would_write__is_read_up_to_a_limit() -> None:
    for depth in (5, 6, 24):
        assert evaluate_tree(nested(depth), {"x": 1}) is (depth % 2 == 0)
    # Past the limit the innermost groups are false, and nothing overflows.
    assert evaluate_tree(nested(26), {"x": 1}) is evaluate_tree(nested(400), {"x": 1})


def test_decode_tree__five_groups_deep__is_accepted() -> None:
    assert encode_tree(decode_tree(nested(5)))["not"]["not"]["not"]["not"]["not"]["operator"] == "exists"


def test_evaluate__empty_groups__are_neutral() -> None:
    assert evaluate_tree({"all": []}, {}) is True
    assert evaluate_tree({"any": []}, {}) is False
    assert evaluate_tree({"not": {"any": []}}, {}) is True
    assert evaluate_tree({"not": {"all": []}}, {}) is False


@pytest.mark.parametrize(
    ("document", "path", "code"),
    [
        ([], "", "wrong_type"),
        ({}, "key", "invalid_key"),
        ({"key": "white space"}, "key", "invalid_key"),
        ({"key": "beta", "included": "alice"}, "included", "wrong_type"),
        ({"key": "beta", "excluded": ["alice", 5]}, "excluded[1]", "invalid_user_id"),
        ({"key": "beta", "conditions": []}, "conditions", "wrong_type"),
        ({"key": "beta", "conditions": {"all": [{"any": [{}]}]}}, "conditions.all[0].any[0].operator", "required"),
    ],
)
def test_decode_segment__one_thing_wrong__is_the_one_problem(document: Any, path: str, code: str) -> None:
    assert found(decode_segment, document) == [(path, code)]


def test_decode_segment__only_a_key__is_an_empty_audience() -> None:
    segment = decode_segment({"key": "beta"})
    assert (segment.included, segment.excluded, segment.conditions) == (frozenset(), frozenset(), None)


def test_evaluate__segment_that_is_not_understood__is_never_passed_over() -> None:
    broken = {"beta": {"key": "beta", "conditions": condition("x", "resembles", 1)}}
    asked = {"operator": "in_segment", "value": ["beta"]}
    assert evaluate_tree(asked, {"x": 1}, broken) is None
    assert evaluate_tree({"not": asked}, {"x": 1}, broken) is None
