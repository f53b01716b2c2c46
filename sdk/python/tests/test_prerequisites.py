"""Prerequisites: when they are met, and what a cycle, a long chain or a broken flag does to them."""

from __future__ import annotations

from typing import Any

import pytest
from documents import environment, flag, rule, snapshot
from openflagship.engine import Context, environment_problems, find_prerequisite_cycle
from openflagship.engine.decode import decode_flag


def needing(key: str, other: str, variants: list[str] | None = None, **changes: Any) -> dict[str, Any]:
    wanted = [{"flagKey": other, "variants": variants or ["treatment"]}]
    return flag(key=key, prerequisites=wanted, rules=[rule([])], **changes)


def reason(*flags: dict[str, Any], key: str = "asked", user_id: Any = "user-1") -> tuple[Any, ...]:
    given = environment(*flags).evaluate(key, Context(user_id))
    return given.reason, given.variant


MET = ("RULE_MATCH", "treatment")
FAILED = ("PREREQUISITE_FAILED", "control")


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (flag(key="other", rules=[rule([])]), MET),
        (flag(key="other", defaultVariant="treatment"), MET),
        (flag(key="other"), FAILED),
        (flag(key="other", enabled=False, offVariant="treatment"), FAILED),
        (flag(key="other", killSwitchVariant="treatment"), MET),
        (flag(key="other", killSwitchVariant="control", rules=[rule([])]), FAILED),
        (flag(key="other", killSwitchVariant="treatment", enabled=False), FAILED),
        (flag(key="other", defaultVariant="unknown"), FAILED),
        (flag(key="unrelated"), FAILED),
    ],
)
def test_prerequisite__state_of_the_other_flag__decides(other: dict[str, Any], expected: tuple[str, str]) -> None:
    assert reason(needing("asked", "other"), other) == expected


def test_prerequisite__failed__serves_the_off_variant_before_targets() -> None:
    document = needing(
        "asked", "other", offVariant="treatment", targets=[{"variant": "control", "userIds": ["user-1"]}]
    )
    given = environment(document, flag(key="other")).evaluate("asked", Context("user-1"))
    assert (given.variant, given.reason, given.openfeature_reason, given.is_exposure) == (
        "treatment",
        "PREREQUISITE_FAILED",
        "DEFAULT",
        True,
    )
    without_unit = environment(document, flag(key="other")).evaluate("asked", Context())
    assert (without_unit.reason, without_unit.is_exposure) == ("PREREQUISITE_FAILED", False)


def test_prerequisite__several__all_have_to_be_met() -> None:
    document = flag(
        prerequisites=[{"flagKey": "one", "variants": ["treatment"]}, {"flagKey": "two", "variants": ["control"]}],
        rules=[rule([])],
    )
    one = flag(key="one", rules=[rule([])])
    assert reason(document, one, flag(key="two")) == MET
    assert reason(document, one, flag(key="two", rules=[rule([])])) == FAILED


def test_prerequisite__without_a_unit__sees_the_same_input() -> None:
    other = flag(key="other", allocation=[[0, 10_000, "treatment"]])
    assert reason(needing("asked", "other"), other) == MET
    assert reason(needing("asked", "other"), other, user_id=None) == FAILED


@pytest.mark.parametrize("start", ["a", "b", "c"])
def test_prerequisite__cycle__fails_for_every_member_wherever_it_starts(start: str) -> None:
    members = [needing("a", "b"), needing("b", "c"), needing("c", "a")]
    assert reason(*members, key=start) == FAILED
    outside = needing("outside", "a", ["control"])
    # The members serve their off variant, and a flag outside may ask for just that.
    assert reason(*members, outside, key="outside") == MET


def test_prerequisite__of_itself__fails() -> None:
    assert reason(needing("asked", "asked", ["control", "treatment"])) == FAILED


def chain(length: int) -> list[dict[str, Any]]:
    return [
        needing(f"flag-{number}", f"flag-{number + 1}")
        if number < length
        else flag(key=f"flag-{number}", rules=[rule([])])
        for number in range(length + 1)
    ]


def test_prerequisite__chain__is_followed_ten_deep_and_no_further() -> None:
    assert reason(*chain(10), key="flag-0") == MET
    assert reason(*chain(11), key="flag-0") == FAILED
    assert reason(*chain(11), key="flag-1") == MET
    # A chain far longer than Python could follow by calls.
    assert reason(*chain(3000), key="flag-0") == FAILED


def test_prerequisite__many_ways_to_the_same_flag__is_evaluated_once() -> None:
    # Ten levels, each flag asking for all ten of the next: 10^10 ways, a hundred flags.
    levels = [[f"flag-{level}-{number}" for number in range(10)] for level in range(11)]
    flags = []
    for level, keys in enumerate(levels):
        below = levels[level + 1] if level < 10 else []
        for key in keys:
            wanted = [{"flagKey": other, "variants": ["treatment"]} for other in below]
            flags.append(flag(key=key, prerequisites=wanted, rules=[rule([])]))
    assert reason(*flags, key="flag-0-0") == MET
    everything = environment(*flags).evaluate_all(Context("user-1"))
    assert {given.reason for given in everything.values()} == {"RULE_MATCH"}
    assert len(environment(*flags).explain("flag-0-0", Context("user-1")).steps) == 14


def test_find_prerequisite_cycle__cycle__is_named_along_its_way() -> None:
    documents = [needing("a", "b"), needing("b", "c"), needing("c", "b"), flag(key="d")]
    flags = {document["key"]: decode_flag(document) for document in documents}
    assert find_prerequisite_cycle(flags) == ("b", "c", "b")
    del flags["c"]
    assert find_prerequisite_cycle(flags) is None


def test_environment_problems__prerequisites__names_cycle_depth_and_unknown_references() -> None:
    problems = environment_problems(snapshot(needing("a", "b"), needing("b", "a")))
    assert [(problem.path, problem.code) for problem in problems] == [("flags.a.prerequisites", "prerequisite_cycle")]
    assert problems[0].message.startswith("a → b → a")
    problems = environment_problems(snapshot(*chain(12)))
    assert {(problem.path, problem.code) for problem in problems} == {
        ("flags.flag-0.prerequisites", "prerequisite_depth"),
        ("flags.flag-1.prerequisites", "prerequisite_depth"),
    }
    problems = environment_problems(snapshot(needing("a", "nobody"), needing("b", "c", ["purple"]), flag(key="c")))
    assert [(problem.path, problem.code) for problem in problems] == [
        ("flags.a.prerequisites[0].flagKey", "unknown_flag"),
        ("flags.b.prerequisites[0].variants", "unknown_variant"),
    ]
