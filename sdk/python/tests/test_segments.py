"""Segments: lists, trees, segments in segments, and what cycles and unknown keys come to."""

from __future__ import annotations

from typing import Any

import pytest
from documents import condition, environment, flag, rule, snapshot
from openflagship.engine import Context, decode_segment, environment_problems, find_segment_cycle


def segment(key: str, **changes: Any) -> dict[str, Any]:
    return {"key": key, "included": [], "excluded": [], "conditions": None, **changes}


def using(*keys: str, operator: str = "in_segment") -> dict[str, Any]:
    return {"operator": operator, "value": list(keys)}


def is_in(tree: Any, segments: list[dict[str, Any]], user_id: Any = "user-1", /, **attributes: Any) -> bool:
    asked = environment(flag(rules=[rule([tree])]), segments=segments)
    given = asked.evaluate("asked", Context(user_id, attributes))
    explained = asked.explain("asked", Context(user_id, attributes)).to_dict()
    assert [step["matched"] for step in explained["steps"] if step["step"] == "rule"] == [given.value]
    value: bool = given.value
    return value


GERMAN = condition("country", "equals", "DE")


@pytest.mark.parametrize(
    ("user_id", "attributes", "expected"),
    [
        ("in", {}, True),
        ("out", {"country": "DE"}, False),
        ("both", {"country": "DE"}, False),
        ("else", {"country": "DE"}, True),
        ("else", {"country": ["FR", "DE"]}, True),
        ("else", {"country": 5}, False),
        ("else", {}, False),
        (None, {"country": "DE"}, True),
        (None, {}, False),
    ],
)
def test_segment__lists_and_conditions__excluded_wins(user_id: Any, attributes: Any, expected: bool) -> None:
    beta = segment("beta", included=["in", "both"], excluded=["out", "both"], conditions=GERMAN)
    assert is_in(using("beta"), [beta], user_id, **attributes) is expected
    assert is_in(using("beta", operator="not_in_segment"), [beta], user_id, **attributes) is not expected


def test_segment__several_keys__any_counts() -> None:
    staff, testers = segment("staff", included=["a"]), segment("testers", included=["b"])
    for user, expected in (("a", True), ("b", True), ("c", False)):
        assert is_in(using("staff", "testers", "staff"), [staff, testers], user) is expected


def test_segment__unknown_or_none__matches_nobody() -> None:
    assert is_in(using("nobody"), []) is False
    assert is_in(using("nobody", operator="not_in_segment"), []) is True
    assert is_in(using(), []) is False
    assert is_in(using(operator="not_in_segment"), []) is True


def test_segment__unreadable__fails_whoever_asks_for_it_and_says_why() -> None:
    broken: Any = {"key": "beta", "conditions": {"all": "everyone"}}
    asked = environment(flag(rules=[rule([using("beta")])]), segments=[broken])
    failed = asked.evaluate("asked", Context("x"))
    assert (failed.error_code, "segments.beta" in (failed.detail or "")) == ("PARSE_ERROR", True)
    assert asked.segments["beta"].problems[0].path == "conditions.all"
    listed = environment(flag(rules=[rule([using("beta")])]), segments=None)
    replaced = listed.replace(8, segments={"beta": "not even an object"})
    assert replaced.segments["beta"].code is None
    assert replaced.evaluate("asked", Context("x")).error_code == "PARSE_ERROR"


def test_segment__within_segments__is_followed() -> None:
    inner = segment("inner", conditions={"any": [GERMAN, condition("plan", "equals", "pro")]})
    middle = segment("middle", conditions={"all": [using("inner"), {"not": condition("age", "less_than", 18)}]})
    outer = segment("outer", conditions=using("middle", "nobody"), excluded=["out"])
    segments = [outer, middle, inner]
    assert is_in(using("outer"), segments, "x", country="DE", age=20) is True
    assert is_in(using("outer"), segments, "x", country="DE", age=17) is False
    assert is_in(using("outer"), segments, "x", country=["DE"], age="17") is True
    assert is_in(using("outer"), segments, "out", country="DE") is False


@pytest.mark.parametrize("entry", ["a", "b", "c"])
def test_segment__cycle__is_cut_alike_wherever_it_is_entered(entry: str) -> None:
    segments = [
        segment("a", included=["ann"], conditions=using("b")),
        segment("b", included=["bob"], conditions=using("c")),
        segment("c", included=["cat"], conditions={"any": [using("a"), using("free")]}),
        segment("free", included=["fay"]),
    ]
    # Members of a cycle do not see each other; what lies outside they do see.
    own = {"a": "ann", "b": "bob", "c": "cat"}[entry]
    for user in ("ann", "bob", "cat"):
        assert is_in(using(entry), segments, user) is (user == own)
    assert is_in(using(entry), segments, "fay") is (entry == "c")


def test_segment__of_itself__does_not_see_itself() -> None:
    own = segment("own", conditions={"not": using("own")})
    assert is_in(using("own"), [own]) is True


def test_segment__many_ways_to_the_same_one__is_asked_once() -> None:
    levels = [[f"s-{level}-{number}" for number in range(10)] for level in range(12)]
    segments = []
    for level, keys in enumerate(levels):
        for key in keys:
            nested = {"all": [using(other) for other in levels[level + 1]]} if level < 11 else GERMAN
            segments.append(segment(key, conditions=nested))
    assert is_in(using("s-0-0"), segments, "x", country="DE") is True
    assert is_in(using("s-0-0"), segments, "x", country="FR") is False


def test_find_segment_cycle__cycle__is_named_and_reported() -> None:
    documents = [segment("a", conditions={"not": using("b")}), segment("b", conditions=using("a", "c")), segment("c")]
    segments = {document["key"]: decode_segment(document) for document in documents}
    assert find_segment_cycle(segments) == ("a", "b", "a")
    problems = environment_problems(snapshot(segments=documents))
    assert [(problem.path, problem.code) for problem in problems] == [("segments.a.conditions", "segment_cycle")]
    assert find_segment_cycle({"c": segments["c"]}) is None


def test_replace__segment__changes_every_flag_that_uses_it() -> None:
    asked = environment(flag(rules=[rule([using("outer")])]), segments=[segment("outer", conditions=using("inner"))])
    assert asked.evaluate("asked", Context("ann")).value is False
    changed = asked.replace(8, segments={"inner": segment("inner", included=["ann"])})
    assert changed.evaluate("asked", Context("ann")).value is True
    assert changed.replace(9, segments={"inner": None}).evaluate("asked", Context("ann")).value is False
    assert asked.evaluate("asked", Context("ann")).value is False
