"""The operators as one truth table, asked twice: written inline for usual types, and called for all others."""

from __future__ import annotations

from typing import Any

import pytest
from documents import answer, condition, environment, flag, rule
from openflagship.engine import Context
from openflagship.engine.model import Condition
from openflagship.engine.operators import OPERATORS, MalformedValueError

NAN = float("nan")
ABSENT = object()

# operator, value, attributes that satisfy it, attributes that do not
TRUTH: list[tuple[str, Any, list[Any], list[Any]]] = [
    ("equals", "DE", ["DE", ["FR", "DE"], ("DE",), {"DE"}], ["de", "", 5, True, None, ["FR"], [], {"a": 1}, [["DE"]]]),
    ("equals", 1, [1, 1.0, [2, 1.0]], [True, "1", 2, NAN, None, [True], ["1"]]),
    ("equals", True, [True, [False, True]], [1, "true", False, None, [1]]),
    ("equals", 2**53, [2**53, 2**53 + 1, 2.0**53], [2**53 - 1, 10**400, -(10**400), "x"]),
    ("not_equals", "DE", ["FR", "de", "", ["FR"], [], [5]], ["DE", 5, True, None, ["DE"], {"a": 1}]),
    ("not_equals", 1, [2, 0.5, [2], ["1"]], [1, 1.0, True, "2", NAN, None, [1.0]]),
    ("not_equals", False, [True, [True]], [False, 0, "x", None, [False]]),
    ("in", ["DE", "AT"], ["DE", ["FR", "AT"]], ["FR", 1, None, ["FR"], [], [["DE"]]]),
    ("in", [1, 2.5], [1, 1.0, 2.5, [7, 2.5]], [True, "1", 3, None, NAN]),
    ("in", [True], [True], [1, "true", False]),
    ("in", ["1", 1, False], ["1", 1, 1.0, False, [0, 1]], [0, True, "0", None]),
    ("in", [], [], ["DE", 1, True, ["DE"], None]),
    ("in", [2**60], [2**60, 2**60 + 1], [2**59, "1"]),
    ("not_in", ["DE", "AT"], ["FR", "", 1, True, ["FR"], []], ["DE", None, ["DE"], {"a": 1}, NAN]),
    ("not_in", [1, 2], [3, "1", True, [3]], [1, 2.0, None, [1], NAN]),
    ("not_in", [True], [False, "x", 1], [True, None]),
    ("not_in", [], ["DE", 0, False, [], ["x"]], [None, {"a": 1}]),
    ("greater_than", 18, [19, 18.5, 10**400, float("inf")], [18, 18.0, 17, "19", True, None, NAN, [19]]),
    ("greater_or_equal", 18, [18, 18.0, 19], [17.9, "18", None, NAN]),
    ("less_than", 18, [17, -(10**400), float("-inf")], [18, 18.0, "17", False, None, NAN, [17]]),
    ("less_or_equal", 18, [18, 18.0, 17], [18.1, "18", None, NAN]),
    ("greater_than", 2**60, [2**60 + 10**6, 10**400], [2**60 + 1, 2**60, "x"]),
    ("contains", "beta", ["a beta", "beta", ["beta", "x"]], ["Beta", "bet", 5, None, ["a beta"], [], [["beta"]]]),
    ("contains", 5, [[5], [4, 5.0]], ["5", 5, [True], ["5"], None]),
    ("contains", True, [[True]], [True, "true", [1]]),
    ("not_contains", "beta", ["alpha", "", ["a beta"], []], ["a beta", 5, None, ["beta"], {"beta": 1}]),
    ("not_contains", 5, [[4], ["5"], []], ["4", 4, [5.0], None]),
    ("starts_with", "ab", ["abc", "ab", ["x", "ab"]], ["Abc", "a", 5, None, ["x"], []]),
    ("starts_with", ["ab", "x"], ["abc", "xyz", ["x"]], ["b", None, 1]),
    ("starts_with", [], [], ["ab", None]),
    ("ends_with", "@a.com", ["me@a.com", ["@a.com"]], ["me@a.com ", 5, None, []]),
    ("ends_with", ["com", "org"], ["a.org", "a.com"], ["a.net", None]),
    ("matches", "^u[0-9]+$", ["u12", ["x", "u1"]], ["xu12", "u12\n", 12, None, "u\ud800", []]),
    ("matches", "b.d", ["abide", "bäd"], ["b\nd", "B.D", True]),
    ("matches", r"^\\C$", [r"\C"], ["C"]),
    ("matches", r"\Q\C\E", [r"a\C"], ["C"]),
    ("semver_equal", "1.2", ["1.2.0", "v1.2", "V1.2.0+build"], ["1.2.1", "1.2.0-rc", "1.02.0", 1.2, None, ["1.2.0"]]),
    ("semver_greater", "1.9.0", ["1.10.0", "2", "2.0.0-rc.1"], ["1.9.0", "1.9.0-rc", "x", None, 2]),
    ("semver_greater_or_equal", "1.9.0", ["1.9", "1.9.1"], ["1.9.0-rc", "1.8", ""]),
    ("semver_less", "1.9.0", ["1.9.0-rc", "1.8.9"], ["1.9.0", "1.10", True]),
    ("semver_less_or_equal", "1.9.0", ["1.9", "0.1"], ["1.9.1", "1.9.0.1", None]),
    (
        "before",
        "2026-01-01T00:00:00Z",
        ["2025-12-31T23:59:59.999Z", "2026-01-01T00:30:00+01:00", 0, 1767225599999.5],
        [
            "2026-01-01T00:00:00Z",
            "2026-01-01",
            1767225600000,
            "1767225599999",
            True,
            None,
            NAN,
            ["2025-01-01T00:00:00Z"],
        ],
    ),
    (
        "after",
        "2026-01-01T00:00:00Z",
        ["2026-01-01T00:00:00.001Z", "2025-12-31T23:30-01:00", 1767225600001, float("inf")],
        ["2026-01-01T00:00:00.0009Z", "2026-13-01T00:00:00Z", 1767225600000, None, {}],
    ),
    ("exists", None, ["", 0, False, [], {"a": 1}, NAN], [None]),
    ("not_exists", None, [None], ["", 0, False, [], {}]),
]
ROWS = [
    pytest.param(operator, value, attribute, expected, id=f"{operator}-{value!r}-{attribute!r}"[:80])
    for operator, value, satisfying, others in TRUTH
    for expected, attributes in ((True, satisfying), (False, others))
    for attribute in attributes
]


@pytest.mark.parametrize(("operator", "value", "attribute", "expected"), ROWS)
def test_operator__attribute__satisfies_or_not(operator: str, value: Any, attribute: Any, expected: bool) -> None:
    document = flag(rules=[rule([condition("x", operator, value)])])
    assert answer(document, x=attribute).value is expected
    # Tests for other types on the same attribute, in a rule nobody matches: now nothing can be written inline.
    others = [condition("x", "less_than", -1e300), condition("x", "equals", "nobody"), condition("y", "exists")]
    mixed = flag(rules=[rule([{"any": others[:2]}, others[2]], 0), rule([condition("x", operator, value)], 1)])
    given = answer(mixed, x=attribute)
    assert (given.value, given.error_code) == (expected, None)
    prepared = OPERATORS[operator].prepare(value)
    assert OPERATORS[operator].predicate(prepared)(attribute) is expected


@pytest.mark.parametrize("operator", [name for name, operator in OPERATORS.items() if operator.takes_attribute])
def test_operator__absent_attribute__satisfies_only_not_exists(operator: str) -> None:
    value = next(row[1] for row in TRUTH if row[0] == operator)
    assert answer(flag(rules=[rule([condition("x", operator, value)])])).value is (operator == "not_exists")


@pytest.mark.parametrize(
    ("operator", "bad"),
    [
        ("equals", [["DE"], None, {}, NAN, float("inf"), 10**400, "\ud800"]),
        ("in", ["DE", None, {}, [None], [["DE"]], [NAN]]),
        ("greater_than", ["18", True, None, [18], NAN, float("inf")]),
        ("contains", [None, ["x"], {}]),
        ("starts_with", [5, None, [5], {}, "\ud800"]),
        ("matches", ["(", r"\C", r"a\Qb\E\C", "(?=look)", "a**", 5, None, "\ud800"]),
        ("semver_greater", ["1.2.3.4", "01.2", "", "1.2.x", 1.2, None]),
        ("before", ["2026-01-01", "tomorrow", "2026-01-01T00:00:00", None, True, "2026-02-30T00:00:00Z"]),
        ("exists", [True, "x", []]),
        ("in_segment", ["beta", None, [""], [5]]),
    ],
)
def test_prepare__value_the_operator_cannot_use__is_refused(operator: str, bad: list[Any]) -> None:
    for value in bad:
        with pytest.raises(MalformedValueError, match=r"\.$"):
            OPERATORS[operator].prepare(value)


def test_condition__malformed__is_false_and_says_so_from_there_on() -> None:
    document = flag(
        rules=[
            rule([condition("country", "equals", "DE")], 1),
            rule([condition("plan", "matches", "(")], 2),
            rule([condition("plan", "semver_less", "x")], 3),
        ]
    )
    assert answer(document, country="DE").detail is None
    fallen = answer(document, country="FR")
    assert (fallen.reason, fallen.detail) == ("DEFAULT", "malformed_condition")


def test_user_id__in_conditions__is_the_requests_and_not_an_attribute() -> None:
    document = flag(rules=[rule([condition("userId", "equals", "alice")])])
    asked = environment(document)
    assert asked.evaluate("asked", Context("alice")).value is True
    assert asked.evaluate("asked", Context("bob", {"userId": "alice"})).value is False
    assert asked.evaluate("asked", Context(None, {"userId": "alice"})).value is False
    numbered = flag(rules=[rule([condition("userId", "in", ["42"]), condition("userId", "not_equals", 5)])])
    assert answer(numbered, 42).value is False, "a number never compares with text"
    assert answer(flag(rules=[rule([condition("userId", "starts_with", "4")])]), 42).value is True


def test_predicate__segment_operator__has_none() -> None:
    with pytest.raises(TypeError, match="environment"):
        OPERATORS["in_segment"].predicate(("beta",))
    assert Condition(None, "in_segment", ["beta"], ("beta",)).fault is None
