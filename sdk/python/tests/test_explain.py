"""The trace names what was seen, what was wanted, and why a condition did not hold."""

from __future__ import annotations

import json
from typing import Any

import pytest
from documents import condition, environment, experiment, flag, rule
from openflagship.engine import Context, bucket


def traced(document: dict[str, Any], user_id: Any = "user-1", /, **attributes: Any) -> list[dict[str, Any]]:
    explanation = environment(document).explain("asked", Context(user_id, attributes)).to_dict()
    json.dumps(explanation, allow_nan=False).encode()
    steps: list[dict[str, Any]] = explanation["steps"]
    assert [step["decides"] for step in steps] == [False] * (len(steps) - 1) + [True]
    return steps


def test_explain__whole_flag__shows_every_step_until_the_one_that_decides() -> None:
    document = flag(
        targets=[{"variant": "control", "userIds": ["alice"]}],
        rules=[rule([condition("country", "equals", "DE")], name="Germans")],
        allocation=[[0, 10_000, "treatment"]],
    )
    steps = traced(document, "user-1", country="FR")
    assert [step["step"] for step in steps] == ["kill_switch", "enabled", "unit", "targets", "rule", "rollout"]
    assert steps[2] == {"step": "unit", "decides": False, "bucketBy": "userId", "attribute": "userId", "unit": "user-1"}
    assert steps[4]["conditions"] == [
        {"operator": "equals", "wanted": "DE", "attribute": "country", "seen": "FR", "matched": False}
    ]
    assert (steps[4]["id"], steps[4]["name"], steps[4]["priority"], steps[4]["matched"]) == (
        "rule-1",
        "Germans",
        1,
        False,
    )
    number = bucket("asked", "user-1")
    assert steps[5] | {"step": "", "decides": True} == {
        "step": "",
        "decides": True,
        "salt": "asked",
        "bucket": number,
        "range": [0, 10_000],
        "variant": "treatment",
    }
    assert [step["step"] for step in traced(document, "alice")][-1] == "targets"
    assert [step["step"] for step in traced(document, "user-1", country="DE")][-1] == "rule"


@pytest.mark.parametrize(
    ("operator", "wanted", "seen", "because"),
    [
        ("equals", "10", 10, "The attribute is a number; the operator takes the value's own type."),
        ("equals", "DE", None, "The attribute is absent."),
        ("not_equals", 1, True, "The attribute is a boolean; the operator takes the value's own type."),
        ("greater_than", 5, "6", "The attribute is text; the operator takes a number."),
        ("greater_than", 5, [6], "The attribute is a list; the operator takes a number."),
        ("semver_less", "2.0.0", "two", "The attribute is text; the operator takes a semantic version, as text."),
        ("in", ["a"], {"a": 1}, "The attribute is of the type dict; the operator takes text, a number or a boolean."),
        ("in", ["a"], ["b"], None),
        ("equals", "DE", "FR", None),
    ],
)
def test_explain__condition_not_met__names_the_mismatch(operator: str, wanted: Any, seen: Any, because: Any) -> None:
    steps = traced(flag(rules=[rule([condition("x", operator, wanted)])]), x=seen)
    assert steps[3]["conditions"][0].get("because") == because


def test_explain__groups__show_all_their_parts() -> None:
    tree = {"any": [condition("x", "equals", 1), {"not": {"all": [condition("x", "exists")]}}]}
    shown = traced(flag(rules=[rule([tree])]), x=2)[3]["conditions"][0]
    assert shown["matched"] is False
    assert shown["any"][1] == {
        "not": {
            "all": [{"operator": "exists", "wanted": None, "attribute": "x", "seen": 2, "matched": True}],
            "matched": True,
        },
        "matched": False,
    }


def test_explain__malformed_condition__says_so() -> None:
    shown = traced(flag(rules=[rule([condition("x", "matches", "(")])]), x=1)[3]["conditions"][0]
    assert (shown["matched"], shown["because"]) == (False, "malformed_condition")


def test_explain__segments__are_opened_once() -> None:
    uses: Any = {"operator": "in_segment", "value": ["outer", "outer", "nobody", "listed", "banned"]}
    asked = environment(
        flag(rules=[rule([uses])]),
        segments=[
            {"key": "outer", "conditions": {"operator": "not_in_segment", "value": ["outer"]}, "excluded": ["zoe"]},
            {"key": "listed", "included": ["ann"]},
            {"key": "banned", "excluded": ["ann"]},
        ],
    )
    shown = asked.explain("asked", Context("ann")).to_dict()["steps"][3]["conditions"][0]["segments"]
    assert shown[0]["conditions"]["segments"] == [
        {"segment": "outer", "matched": False, "because": "The segments form a cycle."}
    ]
    assert [(part["segment"], part["matched"], part.get("because")) for part in shown] == [
        ("outer", True, None),
        ("outer", True, "Shown above."),
        ("nobody", False, "There is no such segment."),
        ("listed", True, "The user is included."),
        ("banned", False, "The user is excluded."),
    ]


def test_explain__experiment__shows_layer_bucket_and_split() -> None:
    document = flag(
        experiment=experiment(ranges=[[0, 5000]], audience=condition("plan", "equals", "pro")),
        allocation=[[0, 1, "treatment"]],
    )
    inside = next(f"u{number}" for number in range(99) if bucket("layer:checkout", f"u{number}") < 5000)
    last = traced(document, inside, plan="pro")[-1]
    assert (last["step"], last["participates"], last["layerBucket"]) == (
        "experiment",
        True,
        bucket("layer:checkout", inside),
    )
    assert (last["variant"], last["because"]) == (
        "control",
        "No range covers the bucket, so the control variant serves it.",
    )
    assert last["audience"]["matched"] is True
    out = traced(document, inside, plan="free")
    assert (out[-2]["participates"], out[-1]["because"]) == (False, "The unit is not in the experiment.")


def test_explain__no_unit__says_why_buckets_were_passed_over() -> None:
    document = flag(rules=[rule([], allocation=[[0, 10_000, "treatment"]])])
    steps = traced(document, None)
    assert (steps[3]["matched"], steps[3]["because"]) == (True, "There is no unit to put into a bucket.")
    assert steps[-1]["because"] == "There is no unit to put into a bucket."


def test_explain__prerequisites__say_what_was_wrong_with_the_other_flag() -> None:
    wanted = [{"flagKey": key, "variants": ["treatment"]} for key in ("fine", "off", "nobody")]
    asked = environment(flag(prerequisites=wanted), flag(key="fine", rules=[rule([])]), flag(key="off", enabled=False))
    steps = asked.explain("asked", Context("ann")).to_dict()["steps"][3:]
    assert [(step["flagKey"], step["met"], step.get("because")) for step in steps] == [
        ("fine", True, None),
        ("off", False, "That flag is off."),
    ]
    assert steps[0]["reason"] == "RULE_MATCH"
    missing = environment(flag(prerequisites=wanted[2:])).explain("asked", Context("ann")).to_dict()["steps"][-1]
    assert missing["because"] == "There is no such flag, or it cannot be read."
    own = environment(flag(prerequisites=[{"flagKey": "asked", "variants": ["control"]}]))
    assert own.explain("asked", Context("ann")).steps[-1].facts["because"].startswith("The prerequisites form a cycle")


@pytest.mark.parametrize("key", ["nobody", "broken", None])
def test_explain__flag_without_an_answer__is_one_step_that_says_why(key: Any) -> None:
    explained = environment(flag(key="broken", type="float")).explain(key, Context("ann"), "mine")
    assert (explained.answer.value, explained.steps[0].name) == ("mine", "error")
    assert explained.steps[0].facts["errorCode"] in ("FLAG_NOT_FOUND", "PARSE_ERROR")


class Unequal:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    __hash__ = None


def test_explain__value_that_raises_when_it_is_looked_at__still_gives_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = environment(flag(rules=[rule([condition("x", "equals", "y")])]))
    assert asked.explain("asked", Context("ann", {"x": Unequal()})).answer.reason == "DEFAULT"

    def stumble(value: Any) -> Any:
        raise RuntimeError(value)

    monkeypatch.setattr("openflagship.engine.explain.plain", stumble)
    explained = asked.explain("asked", Context("ann", {"x": "y"}))
    assert (explained.answer.value, explained.steps[0].facts) == (
        True,
        {"errorCode": "GENERAL", "detail": "RuntimeError"},
    )


def test_explain__odd_values__are_shown_as_json() -> None:
    odd = [1.5, 10**400, -(10**400), float("nan"), "x" * 1000, "\ud800", {"a": 1}, None, True, {"s"}]
    shown = traced(flag(rules=[rule([condition("x", "in", ["a"])])]), x=odd)[3]["conditions"][0]["seen"]
    assert shown == [1.5, "inf", "-inf", "(float)", "x" * 200, "?", "(dict)", None, True, ["s"]]


def test_explain__killed_or_off__needs_no_further_step() -> None:
    assert traced(flag(killSwitchVariant="control"))[-1] == {"step": "kill_switch", "decides": True, "active": True}
    assert traced(flag(enabled=False))[-1] == {"step": "enabled", "decides": True, "enabled": False}


def test_explain__rollout_that_covers_nobody__goes_on_to_the_default() -> None:
    document = flag(
        rules=[rule([], 1, allocation=[[0, 1, "treatment"]])],
        allocation=[[0, 1, "treatment"]],
    )
    steps = traced(document, "user-1")
    assert [(step["step"], step.get("range")) for step in steps[3:]] == [
        ("rule", None),
        ("rollout", None),
        ("default", None),
    ]
    plain_experiment = traced(flag(experiment=experiment(), allocation=[[0, 10_000, "treatment"]]))[-1]
    assert ("audience" in plain_experiment, plain_experiment["variant"]) == (False, "treatment")


def test_explain__malformed_condition_in_a_segment__is_shown_there() -> None:
    segments = [{"key": "beta", "conditions": condition("x", "matches", "(")}]
    asked = environment(flag(rules=[rule([{"operator": "in_segment", "value": ["beta"]}])]), segments=segments)
    explained = asked.explain("asked", Context("ann", {"x": 1}))
    shown = explained.to_dict()["steps"][3]["conditions"][0]["segments"][0]["conditions"]
    assert (shown["because"], explained.answer.detail) == ("malformed_condition", None)
