"""Buckets are uniform and independent; ranges move as little as they can."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openflagship.engine import bucket, buckets_by_variant, deal, moved_buckets, reallocate, unit_text
from strategies import weights

USERS = [f"user-{number}" for number in range(10_000)]


def chi_squared(observed: list[int], expected: float) -> float:
    return sum((count - expected) ** 2 / expected for count in observed)


def test_bucket__empty_unit__is_refused() -> None:
    with pytest.raises(ValueError, match="no unit"):
        bucket("checkout", "")


def test_bucket__ten_thousand_users_and_many_salts__is_uniform() -> None:
    statistics = []
    for number in range(50):
        tenths = Counter(bucket(f"flag-{number}", user) // 1000 for user in USERS)
        statistics.append(chi_squared([tenths[tenth] for tenth in range(10)], 1000))
    # Chi-squared with 9 degrees of freedom: 27.9 is exceeded once in a thousand, 9 is the mean.
    assert max(statistics) < 33.7
    assert 7.5 < sum(statistics) / len(statistics) < 10.5


@pytest.mark.parametrize("salts", [("one", "two"), ("checkout", "layer:checkout"), ("a", "a:a"), ("x", "x2")])
def test_bucket__two_salts__are_independent(salts: tuple[str, str]) -> None:
    """Public report yggdrasil PR#345: one hash for rollout and variants served a square of the traffic."""
    cells = Counter((bucket(salts[0], user) // 2500, bucket(salts[1], user) // 2500) for user in USERS)
    # 15 degrees of freedom, p = 0.001.
    assert chi_squared([cells[row, column] for row in range(4) for column in range(4)], 625) < 37.7


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        ("alice", "alice"),
        ("ünïcødé", "ünïcødé"),
        (" spaced ", " spaced "),
        (42, "42"),
        (42.0, "42"),
        (-0.0, "0"),
        (-7, "-7"),
        (2**53, "9007199254740992"),
        (float(2**53), "9007199254740992"),
        # JSON numbers are doubles elsewhere: this one reads as 2^53 there, the next as more.
        (2**53 + 1, "9007199254740992"),
        (2**53 + 2, None),
        (-(2**53) - 2, None),
        (10**400, None),
        (1.5, None),
        (float("nan"), None),
        (float("inf"), None),
        (True, None),
        (None, None),
        ("", None),
        ("\ud800", None),
        (["alice"], None),
        ({"id": "alice"}, None),
    ],
)
def test_unit_text__any_value__is_text_or_no_unit(value: Any, unit: str | None) -> None:
    assert unit_text(value) == unit


def test_unit_text__text_of_a_subclass__is_plain_text() -> None:
    class Label(str):
        def __str__(self) -> str:
            return "another"

    unit = unit_text(Label("alice"))
    assert (unit, type(unit)) == ("alice", str)


def test_deal__weights__lie_in_the_order_given() -> None:
    assert deal([("a", 5000), ("b", 2500), ("c", 2500)]) == [(0, 5000, "a"), (5000, 7500, "b"), (7500, 10_000, "c")]
    assert deal([("a", 0), ("treatment", 2500)]) == [(0, 2500, "treatment")]
    assert deal([]) == []


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([("a", 5000), ("b", 5001)], "sum to 10001"),
        ([("a", -1)], "whole number"),
        ([("a", 10_001)], "whole number"),
        ([("a", 25.5)], "whole number"),
        ([("a", True)], "whole number"),
        ([(1, 5)], "named by a string"),
        ([("a", 1), ("a", 2)], "two weights"),
    ],
)
def test_deal__bad_weights__say_what_is_wrong(bad: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        deal(bad)
    with pytest.raises(ValueError, match=message):
        reallocate([], bad)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([[0, 10_001, "a"]], "within 0"),
        ([[5, 5, "a"]], "within 0"),
        ([["0", 5, "a"]], "A range is"),
        ([[0, 5, None]], "A range is"),
        ([[0, 5, "a"], [4, 6, "b"]], "Bucket 4 is given to 'a' and to 'b'"),
    ],
)
def test_reallocate__bad_ranges__say_what_is_wrong(bad: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reallocate(bad, [("a", 5000)])


def sizes(ranges: list[Any]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for start, end, variant in ranges:
        counted[variant] += end - start
    return counted


@settings(max_examples=60)
@given(st.lists(weights(), min_size=2, max_size=4))
def test_reallocate__any_history__moves_exactly_what_has_to_move(history: list[Any]) -> None:
    """Public reports GrowthBook#6730 and Flagsmith#7913: a change of weights moved users whom it did not need."""
    ranges: Any = deal(history[0])
    for wanted in history[1:]:
        after = reallocate(ranges, wanted)
        old, new = sizes(ranges), sizes(after)
        assert new == Counter({variant: weight for variant, weight in wanted if weight})
        names = {*old, *new}
        given_up = sum(max(0, old[name] - new[name]) for name in names)
        taken = sum(max(0, new[name] - old[name]) for name in names)
        # Nobody can do with fewer: every bucket lost and every bucket won has to change once.
        assert moved_buckets(ranges, after) == max(given_up, taken)
        assert after == sorted(after)
        assert reallocate(after, wanted) == after
        ranges = after


@settings(max_examples=60)
@given(st.lists(st.integers(0, 10_000), min_size=2, max_size=6))
def test_reallocate__a_rollout_that_grows__takes_it_from_nobody(steps: list[int]) -> None:
    ranges: Any = []
    for percent in sorted(steps):
        after = reallocate(ranges, [("treatment", percent)])
        assert after == ([(0, percent, "treatment")] if percent else [])
        ranges = after


def test_buckets_by_variant__several_ranges__are_added_up_in_order() -> None:
    assert buckets_by_variant([(0, 100, "b"), (100, 150, "a"), (200, 300, "b")]) == {"b": 200, "a": 50}
    assert buckets_by_variant([]) == {}
