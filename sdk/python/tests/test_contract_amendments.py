"""What EVALUATION.md amended: rule trees, lists in bucketBy, experiments that own their split, and later versions."""

from __future__ import annotations

from typing import Any

import pytest
from documents import answer, condition, environment, experiment, flag, rule, snapshot
from openflagship.engine import CompiledEnvironment, Context, bucket, decode_flag, encode_flag, impact
from openflagship.engine.problems import DecodeError

EVERYBODY = [[0, 10_000, "treatment"]]
PRO = condition("plan", "equals", "pro")


def codes(document: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(DecodeError) as refused:
        decode_flag(document)
    return [(problem.path, problem.code) for problem in refused.value.problems]


# Rules as trees


def test_rule__tree_of_conditions__is_evaluated_explained_and_written_back() -> None:
    tree = {"any": [PRO, {"not": {"all": [condition("country", "equals", "US"), condition("age", "less_than", 18)]}}]}
    document = flag(rules=[rule(tree)])  # type: ignore[arg-type] # a tree where a list stood alone before
    assert answer(document, plan="pro", country="US", age=5).value is True
    assert answer(document, plan="free", country="US", age=5).value is False
    assert answer(document, plan="free", country="DE", age=5).value is True
    assert encode_flag(decode_flag(document))["rules"][0]["conditions"] == tree
    shown = environment(document).explain("asked", Context("ann", {"plan": "pro"})).to_dict()["steps"][3]
    assert shown["conditions"]["any"][0]["matched"] is True


def test_rule__tree_deeper_than_five__is_refused() -> None:
    tree: dict[str, Any] = PRO
    for _ in range(6):
        tree = {"not": tree}
    path = "rules[0].conditions.not.not.not.not.not"
    assert codes(flag(rules=[rule(tree)])) == [(path, "too_deep")]  # type: ignore[arg-type] # as above


# Several names in bucketBy


@pytest.mark.parametrize(
    ("user_id", "attributes", "unit"),
    [
        ("ann", {"deviceId": "d-1"}, "d-1"),
        ("ann", {}, "ann"),
        ("ann", {"deviceId": ""}, "ann"),
        ("ann", {"deviceId": None}, "ann"),
        ("ann", {"deviceId": 42}, "42"),
        ("ann", {"deviceId": "ü"}, "ü"),
        (None, {"anonymousId": "a-1"}, "a-1"),
        (None, {}, None),
    ],
)
def test_bucket_by__several_names__the_first_that_is_there_is_hashed(
    user_id: str | None, attributes: dict[str, Any], unit: str | None
) -> None:
    names = ["deviceId", "userId", "anonymousId"]
    asked = environment(flag(bucketBy=names, allocation=[[0, 5000, "control"], [5000, 10_000, "treatment"]]))
    context = Context(user_id, attributes)
    found = asked.evaluate("asked", context)
    assert asked.unit("asked", context) == unit
    if unit is None:
        assert (found.reason, found.detail, found.is_exposure) == ("DEFAULT", "no_unit", False)
    else:
        assert found.value is (bucket("asked", unit) >= 5000)
    assert encode_flag(decode_flag(flag(bucketBy=names)))["bucketBy"] == names


@pytest.mark.parametrize("names", [[], ["a", "b", "c", "d"], ["a", "a"], ["a", ""], ["a", 5]])
def test_bucket_by__no_list_of_one_to_three_names__is_refused(names: list[Any]) -> None:
    assert codes(flag(bucketBy=names)) == [("bucketBy", "wrong_type")]


def test_bucket_by__list_with_an_experiment__is_refused() -> None:
    document = flag(bucketBy=["deviceId", "userId"], experiment=experiment())
    assert codes(document) == [("bucketBy", "one_unit_for_experiments")]


# Experiments that own their split


def test_experiment__own_split__serves_its_audience_and_lets_the_others_go_on() -> None:
    owns = experiment(allocation=EVERYBODY, audience=PRO)
    document = flag(experiment=owns, allocation=[[0, 10_000, "control"]])
    took_part, went_on = answer(document, plan="pro"), answer(document, plan="free")
    assert (took_part.value, took_part.reason, took_part.experiment) == (True, "EXPERIMENT", "checkout-test")
    assert (went_on.value, went_on.reason, went_on.detail) == (False, "ROLLOUT", None)


def test_experiment__own_split_beside_any_flag__changes_nothing_for_others() -> None:
    """Found C1: creating, starting and ending an experiment leaves whoever takes no part where they were."""
    before = flag(allocation=[[0, 2500, "treatment"]], rules=[rule([condition("country", "equals", "US")])])
    during = {**before, "experiment": experiment(ranges=[[0, 3000]], allocation=[[0, 5000, "treatment"]])}
    for number in range(2000):
        context = Context(f"user-{number}", {"country": "US" if number % 3 == 0 else "DE"})
        then, now = environment(before).evaluate("asked", context), environment(during).evaluate("asked", context)
        if now.reason != "EXPERIMENT":
            assert (now.value, now.reason, now.detail) == (then.value, then.reason, then.detail)
        else:
            assert bucket("layer:checkout", context.user_id or "") < 3000


def test_experiment__without_own_split__serves_the_flags_allocation_as_before() -> None:
    document = flag(experiment=experiment(audience=PRO), allocation=EVERYBODY)
    assert answer(document, plan="pro").reason == "EXPERIMENT"
    left_out = answer(document, plan="free")
    assert (left_out.reason, left_out.detail) == ("DEFAULT", "not_in_experiment")


def test_experiment__uncovered_bucket_of_its_own_split__gets_the_control() -> None:
    found = answer(flag(defaultVariant="treatment", experiment=experiment(allocation=[])))
    assert (found.variant, found.reason) == ("control", "EXPERIMENT")


@pytest.mark.parametrize(("priority", "reason"), [(5, "EXPERIMENT"), (15, "RULE_MATCH"), (None, "RULE_MATCH")])
def test_experiment__priority__is_its_place_among_the_rules(priority: int | None, reason: str) -> None:
    rules = [{**rule([PRO], 1), "priority": 10}, {**rule([condition("x", "exists")], 2), "priority": 20}]
    document = flag(rules=rules, experiment=experiment(allocation=EVERYBODY, priority=priority))
    assert answer(document, plan="pro", x=1).reason == reason
    assert answer(document, x=1).reason == ("RULE_MATCH" if priority is None else "EXPERIMENT")
    assert encode_flag(decode_flag(document))["experiment"].get("priority") == priority


def test_experiment__priority_of_a_rule__is_refused() -> None:
    document = flag(rules=[rule([PRO], 3)], experiment=experiment(priority=3))
    assert codes(document) == [("experiment.priority", "duplicate")]


def test_experiment__audience_between_rules_that_ask_the_same__loads_it_for_all() -> None:
    rules = [{**rule([condition("country", "equals", "US")], 2), "priority": 20}]
    owns = experiment(allocation=EVERYBODY, priority=10, audience=condition("country", "equals", "DE"))
    asked = environment(flag(rules=rules, experiment=owns))
    for unit in ("ann", None):
        assert asked.evaluate("asked", Context(unit, {"country": "US"})).reason == "RULE_MATCH"
        odd = asked.evaluate("asked", Context(unit, {"country": ["US", "DE"]})).reason
        assert odd == ("EXPERIMENT" if unit else "RULE_MATCH")


def test_experiment__walk_and_fast_path__arrive_at_the_same() -> None:
    owns = experiment(ranges=[[0, 4000]], allocation=[[0, 5000, "treatment"]], priority=15, audience=PRO)
    rules = [
        {**rule([condition("country", "equals", "US")], 1, allocation=[[0, 3000, "treatment"]]), "priority": 10},
        {**rule([condition("country", "equals", "DE")], 2, allocation=[[0, 6000, "treatment"]]), "priority": 20},
    ]
    asked = environment(flag(rules=rules, experiment=owns, allocation=[[0, 1000, "treatment"]]))
    for number in range(500):
        attributes = {"plan": "pro" if number % 2 else "free", "country": ("US", "DE", "FR")[number % 3]}
        explained = asked.explain("asked", Context(f"user-{number}" if number % 7 else None, attributes))
        decisive = [step for step in explained.steps if step.decides]
        names = {"RULE_MATCH": "rule", "EXPERIMENT": "experiment", "ROLLOUT": "rollout", "DEFAULT": "default"}
        assert [step.name for step in decisive] == [names[explained.answer.reason]]


def test_impact__experiment_with_own_split__moves_its_participants_alone() -> None:
    before = flag()
    after = flag(experiment=experiment(ranges=[[0, 2000]], allocation=[[0, 5000, "treatment"]]))
    assert impact(before, after).changed == pytest.approx(0.1)


# What a later version wrote


LATER = rule([condition("country", "resembles", "US")])


def later(**changes: Any) -> dict[str, Any]:
    return flag(rules=[LATER], **changes)


def test_not_understood__with_a_version_before__keeps_it_and_says_so() -> None:
    known = environment(flag(rules=[rule([condition("country", "equals", "US")])]))
    for changed in (
        known.replace(8, flags={"asked": later()}),
        CompiledEnvironment.from_document(snapshot(later())).keeping(known),
    ):
        found = changed.evaluate("asked", Context("ann", {"country": "US"}))
        assert (found.value, found.reason, found.stale, found.detail) == (True, "RULE_MATCH", True, "not_understood")
        assert changed.not_understood == ("asked",)
        assert changed.document()["flags"]["asked"]["rules"] == [LATER], "others are told the version that came"
        again = changed.replace(9, flags={"asked": later(name="again")})
        assert again.evaluate("asked", Context("ann", {"country": "US"})).detail == "not_understood"
        assert again.replace(10, flags={"asked": flag()}).evaluate("asked", Context("ann")).stale is False


@pytest.mark.parametrize(
    "unclear",
    [
        later(),
        flag(type="colour"),
        flag(rules=[{"id": "r", "priority": 1, "conditions": [], "variant": "treatment", "allocation": []}]),
        flag(rules=[rule([{"xor": [PRO]}])]),
        flag(experiment=experiment(audience=condition("x", "resembles", 1))),
    ],
)
def test_not_understood__without_a_version_before__is_a_parse_error(unclear: dict[str, Any]) -> None:
    found = environment(unclear).evaluate("asked", Context("ann"), True)
    assert (found.value, found.reason, found.error_code) == (True, "ERROR", "PARSE_ERROR")


@pytest.mark.parametrize("unclear", [later(killSwitchVariant="control"), flag(type="boolean", rules=5)])
def test_not_understood__kill_switch__is_obeyed_all_the_same(unclear: dict[str, Any]) -> None:
    known = environment(flag(allocation=EVERYBODY))
    killed = known.replace(8, flags={"asked": {**unclear, "killSwitchVariant": "control"}})
    assert killed.evaluate("asked", Context("ann")).reason == "KILL_SWITCH"
    released = killed.replace(9, flags={"asked": {**unclear, "killSwitchVariant": None}})
    found = released.evaluate("asked", Context("ann"))
    assert (found.value, found.reason, found.detail) == (True, "ROLLOUT", "not_understood")


def test_not_understood__off__is_off() -> None:
    assert environment(later(enabled=False)).evaluate("asked", Context("ann")).reason == "DISABLED"


def test_not_understood__segment__keeps_its_version_or_fails_whoever_asks_for_it() -> None:
    uses = flag(rules=[rule([{"operator": "not_in_segment", "value": ["outer"]}])])
    outer = {"key": "outer", "conditions": {"operator": "in_segment", "value": ["beta"]}}
    beta = {"key": "beta", "included": ["ann"]}
    unclear = {"key": "beta", "included": ["ann"], "conditions": condition("x", "resembles", 1)}
    known = environment(uses, flag(key="other"), segments=[outer, beta])
    changed = known.replace(8, segments={"beta": unclear})
    found = changed.evaluate("asked", Context("bob"))
    assert (found.value, found.stale, found.detail) == (True, True, "not_understood")
    assert changed.not_understood == ("asked",)
    assert changed.evaluate("other", Context("bob")).stale is False
    none = environment(uses, flag(key="other"), segments=[outer, unclear])
    assert none.evaluate("asked", Context("bob"), "mine").error_code == "PARSE_ERROR"
    assert none.evaluate_all(Context("bob"))["other"].reason == "DEFAULT"


@pytest.mark.parametrize(
    ("changes", "reason"), [({"killSwitchVariant": "treatment"}, "KILL_SWITCH"), ({"enabled": False}, "DISABLED")]
)
def test_not_understood__segment_of_a_prerequisite__keeps_nobody_from_the_kill(
    changes: dict[str, Any], reason: str
) -> None:
    unclear = {"key": "beta", "conditions": condition("x", "resembles", 1)}
    first = flag(key="first", rules=[rule([{"operator": "in_segment", "value": ["beta"]}])])
    asked = flag(prerequisites=[{"flagKey": "first", "variants": ["treatment"]}])
    found = environment(first, {**asked, **changes}, segments=[unclear])
    assert found.evaluate("asked", Context("ann")).reason == reason
    assert found.evaluate_all(Context("ann"))["asked"].reason == reason
    assert found.explain("asked", Context("ann")).answer.reason == reason
    assert environment(first, asked, segments=[unclear]).evaluate("asked", Context("ann")).error_code == "PARSE_ERROR"


def test_experiment__priority_that_is_no_number__is_refused() -> None:
    assert codes(flag(experiment=experiment(priority="first"))) == [("experiment.priority", "wrong_type")]


def test_keeping__everything_understood__is_the_same_environment() -> None:
    known = environment(flag(), segments=[{"key": "beta", "included": ["ann"]}])
    assert known.keeping(environment(later())) is known
