"""The ten steps in their order: which one answers, with what reason and detail, and whether it is an exposure."""

from __future__ import annotations

from typing import Any

import pytest
from documents import answer, condition, environment, experiment, flag, rule
from openflagship.engine import Answer, Context, bucket

EVERYTHING: dict[str, Any] = {
    "targets": [{"variant": "treatment", "userIds": ["alice"]}],
    "rules": [rule([condition("country", "equals", "DE")])],
    "allocation": [[0, 10_000, "treatment"]],
    "experiment": experiment(),
}
USERS = [f"user-{number}" for number in range(2000)]


def facts(given: Answer) -> tuple[Any, ...]:
    return given.variant, given.reason, given.detail, given.openfeature_reason, given.is_exposure


def test_evaluate__unknown_flag__is_the_callers_default() -> None:
    given = environment(flag()).evaluate("nobody", Context("alice"), 42)
    assert (given.value, given.variant, given.reason, given.error_code) == (42, None, "ERROR", "FLAG_NOT_FOUND")
    assert (given.config_version, given.stale, given.openfeature_reason, given.is_exposure) == (
        7,
        False,
        "ERROR",
        False,
    )


@pytest.mark.parametrize("key", [None, 5, ["asked"], {"a": 1}])
def test_evaluate__key_that_is_no_text__is_an_unknown_flag(key: Any) -> None:
    assert environment(flag()).evaluate(key, Context("alice"), 1).error_code == "FLAG_NOT_FOUND"
    assert environment(flag()).evaluate_all(Context("alice"), [key]) == {}


def test_evaluate__broken_flag__is_a_parse_error_that_names_the_field() -> None:
    given = environment(flag(defaultVariant="neither"), flag(key="fine")).evaluate("asked", Context("alice"), "mine")
    assert (given.value, given.error_code) == ("mine", "PARSE_ERROR")
    assert given.detail is not None
    assert given.detail.startswith("defaultVariant: ")


def test_evaluate__kill_switch__overrides_everything() -> None:
    document = flag(**EVERYTHING, killSwitchVariant="control", enabled=False)
    given = answer(document, "alice", country="DE")
    assert facts(given) == ("control", "KILL_SWITCH", None, "DISABLED", True)
    assert facts(answer(document, None)) == ("control", "KILL_SWITCH", None, "DISABLED", False)


def test_evaluate__off__serves_the_off_variant() -> None:
    document = flag(**EVERYTHING, enabled=False, offVariant="treatment", defaultVariant="control")
    assert facts(answer(document, "alice", country="DE")) == ("treatment", "DISABLED", None, "DISABLED", True)
    assert facts(answer(document, "")) == ("treatment", "DISABLED", None, "DISABLED", False)


def test_evaluate__targeted_user__precedes_rules() -> None:
    document = flag(**EVERYTHING)
    document["targets"] = [
        {"variant": "control", "userIds": ["bob", "alice"]},
        {"variant": "treatment", "userIds": ["alice", "carol"]},
    ]
    assert facts(answer(document, "bob", country="DE")) == ("control", "TARGET_MATCH", None, "TARGETING_MATCH", True)
    assert answer(document, "alice").variant == "control", "listed twice: the first list counts"
    assert answer(document, "carol").variant == "treatment"
    assert answer(document, "dave").reason == "EXPERIMENT"


def test_evaluate__targets_of_a_flag_bucketed_by_another_attribute__still_compare_the_user_id() -> None:
    document = flag(targets=[{"variant": "treatment", "userIds": ["alice"]}], bucketBy="deviceId")
    assert facts(answer(document, "alice", deviceId="d1")) == (
        "treatment",
        "TARGET_MATCH",
        None,
        "TARGETING_MATCH",
        True,
    )
    assert answer(document, "d1", deviceId="alice").reason == "DEFAULT"
    assert facts(answer(document, "alice"))[-1] is False, "no device, so nothing to count"


def test_evaluate__rules__first_by_priority_wins() -> None:
    high = rule([condition("country", "equals", "DE")], 20, variant="control")
    low = rule([condition("plan", "equals", "pro")], 10)
    given = answer(flag(rules=[high, low]), "alice", country="DE", plan="pro")
    assert (given.variant, given.rule_id, given.reason, given.openfeature_reason) == (
        "treatment",
        "rule-10",
        "RULE_MATCH",
        "TARGETING_MATCH",
    )
    assert answer(flag(rules=[high, low]), "alice", country="DE", plan="free").rule_id == "rule-20"


def test_evaluate__rule_with_an_allocation__passes_on_what_it_leaves_uncovered() -> None:
    document = flag(
        rules=[
            rule([condition("country", "equals", "DE")], 1, allocation=[[0, 3000, "treatment"]]),
            rule([], 2, allocation=[[3000, 6000, "treatment"], [6000, 6001, "control"]]),
            rule([condition("plan", "equals", "pro")], 3),
        ],
        allocation=[[5000, 9000, "treatment"]],
    )
    for user in USERS:
        number = bucket("asked", user)
        given = answer(document, user, country="DE", plan="free")
        if number < 3000:
            expected = ("treatment", "RULE_MATCH", "rule-1", "SPLIT")
        elif number < 6001:
            expected = ("treatment" if number < 6000 else "control", "RULE_MATCH", "rule-2", "SPLIT")
        elif number < 9000:
            expected = ("treatment", "ROLLOUT", None, "SPLIT")
        else:
            expected = ("control", "DEFAULT", None, "DEFAULT")
        assert (given.variant, given.reason, given.rule_id, given.openfeature_reason) == expected


def test_evaluate__no_unit__passes_over_buckets_and_keeps_fixed_rules() -> None:
    document = flag(
        rules=[
            rule([], 1, allocation=[[0, 10_000, "treatment"]]),
            rule([condition("country", "equals", "DE")], 2),
        ],
        allocation=[[0, 10_000, "treatment"]],
    )
    assert facts(answer(document, None, country="DE")) == ("treatment", "RULE_MATCH", None, "TARGETING_MATCH", False)
    for nobody in (None, "", True, 1.5, "\ud800"):
        assert facts(answer(document, nobody)) == ("control", "DEFAULT", "no_unit", "DEFAULT", False)
    document["experiment"] = experiment()
    assert facts(answer(document, None)) == ("control", "DEFAULT", "no_unit", "DEFAULT", False)


@pytest.mark.parametrize("unit", ["d-1", 42, 42.0, "gerät"])
def test_evaluate__bucketed_by_an_attribute__hashes_its_text(unit: Any) -> None:
    document = flag(bucketBy="deviceId", allocation=[[0, 5000, "treatment"], [5000, 10_000, "control"]])
    text = "42" if unit in (42, 42.0) else unit
    expected = "treatment" if bucket("asked", text) < 5000 else "control"
    assert facts(answer(document, None, deviceId=unit)) == (expected, "ROLLOUT", None, "SPLIT", True)
    for nothing in (None, "", True, 1.5, [unit], "\ud800"):
        assert answer(document, "alice", deviceId=nothing).detail == "no_unit"


def test_evaluate__experiment__gates_by_the_layer_and_splits_by_the_flag() -> None:
    document = flag(
        experiment=experiment(ranges=[[0, 2000], [6000, 7000]]),
        allocation=[[0, 5000, "treatment"], [5000, 9000, "control"]],
    )
    for user in USERS:
        layer, number = bucket("layer:checkout", user), bucket("asked", user)
        given = answer(document, user)
        if layer < 2000 or 6000 <= layer < 7000:
            expected = ("treatment" if number < 5000 else "control", "EXPERIMENT", None, "SPLIT", True)
            assert given.experiment == "checkout-test"
        else:
            expected = ("control", "DEFAULT", "not_in_experiment", "DEFAULT", True)
            assert given.experiment is None
        assert facts(given) == expected


def test_evaluate__experiment_uncovered_buckets__get_the_control_variant() -> None:
    document = flag(experiment=experiment(controlVariant="treatment"), allocation=[[0, 100, "control"]])
    variants = {answer(document, user).variant for user in USERS if bucket("asked", user) >= 100}
    assert variants == {"treatment"}


@pytest.mark.parametrize(
    ("audience", "attributes", "reason"),
    [
        (condition("country", "equals", "DE"), {"country": "DE"}, "EXPERIMENT"),
        (condition("country", "equals", "DE"), {"country": "FR"}, "DEFAULT"),
        ({"all": []}, {}, "EXPERIMENT"),
        ({"any": []}, {}, "DEFAULT"),
    ],
)
@pytest.mark.parametrize("ranges", [[[0, 10_000]], [[0, 5000], [5000, 10_000]], [[0, 9999]], []])
def test_evaluate__experiment_audience__decides_who_takes_part(
    audience: Any, attributes: Any, reason: str, ranges: Any
) -> None:
    document = flag(experiment=experiment(audience=audience, ranges=ranges), allocation=[[0, 5000, "treatment"]])
    given = answer(document, "user-1", **attributes)
    assert given.reason == (reason if ranges else "DEFAULT")
    assert given.detail == (None if given.reason == "EXPERIMENT" else "not_in_experiment")


def test_evaluate__paused_experiment__serves_as_before() -> None:
    split = [[0, 5000, "treatment"], [5000, 10_000, "control"]]
    running = flag(experiment=experiment(), allocation=split)
    paused = flag(experiment=experiment(status="paused"), allocation=split)
    for user in USERS[:200]:
        assert answer(running, user) == answer(paused, user)
    completed = flag(experiment=experiment(status="completed"), allocation=split)
    assert answer(completed).reason == "ROLLOUT", "an experiment that does not serve is none"


def test_evaluate__nothing_configured__is_static() -> None:
    assert facts(answer(flag())) == ("control", "DEFAULT", None, "STATIC", True)
    assert facts(answer(flag(), None)) == ("control", "DEFAULT", "no_unit", "STATIC", False)
    assert answer(flag(allocation=[[0, 1, "treatment"]])).openfeature_reason == "DEFAULT"


def test_evaluate__environment_with_a_salt__hashes_it_first() -> None:
    document = flag(salt="spring", allocation=[[0, 5000, "treatment"]])
    salted = environment(document, environment={"salt": "production"})
    for user in USERS[:200]:
        is_in = bucket("production:spring", user) < 5000
        assert salted.evaluate("asked", Context(user)).value is is_in


@pytest.mark.parametrize(
    "ranges",
    [
        [[500, 3000, "treatment"], [3000, 6000, "control"]],
        [[0, 2000, "control"], [4000, 6000, "treatment"], [6000, 9000, "control"], [9000, 10_000, "treatment"]],
        [[0, 2000, "treatment"], [2000, 4000, "treatment"], [4000, 10_000, "control"]],
        [[9999, 10_000, "treatment"]],
    ],
)
def test_evaluate__few_ranges_with_gaps__serve_their_own_buckets_only(ranges: Any) -> None:
    asked = environment(flag(allocation=ranges))
    for user in USERS:
        number = bucket("asked", user)
        expected = next((variant for start, end, variant in ranges if start <= number < end), None)
        given = asked.evaluate("asked", Context(user))
        assert (given.variant, given.reason) == (expected or "control", "ROLLOUT" if expected else "DEFAULT")


@pytest.mark.parametrize(("first", "size"), [(500, 700), (0, 1000), (1000, 1000)])
def test_evaluate__many_ranges__are_looked_up_alike(first: int, size: int) -> None:
    starts = range(first, 10_000, 1000)
    ranges = [[start, min(start + size, 10_000), "treatment" if start % 2000 < 1000 else "control"] for start in starts]
    document = flag(allocation=ranges)
    for user in USERS[:500]:
        number = bucket("asked", user)
        expected = next((variant for start, end, variant in ranges if start <= number < end), None)
        given = answer(document, user)
        assert (given.variant, given.reason) == (expected or "control", "ROLLOUT" if expected else "DEFAULT")


def test_evaluate__values__keep_their_type_and_are_nobodys_to_change() -> None:
    payload = {"limit": 5}
    variants = [{"key": "a", "value": payload}, {"key": "b", "value": None}]
    document = flag(type="json", variants=variants)
    asked = environment(document)
    served = asked.evaluate("asked", Context("x")).value
    assert served == payload
    assert served is asked.evaluate("asked", Context("y")).value
    payload["limit"] = 6
    with pytest.raises(TypeError):
        served["limit"] = 7
    assert served == {"limit": 5}
    assert answer(flag(), "x").value is False
    numbers = flag(type="number", variants=[{"key": "a", "value": 1.0}, {"key": "b", "value": 2}])
    assert type(answer(numbers).value) is float


def test_evaluate__context_that_is_none_at_all__is_a_general_error() -> None:
    broken: Any = None
    given = environment(flag(allocation=[[0, 5, "treatment"]])).evaluate("asked", broken, "mine")
    assert (given.value, given.error_code, given.detail) == ("mine", "GENERAL", "AttributeError")


def test_to_dict__answer__has_the_contracts_names() -> None:
    given = answer(flag(rules=[rule([])]))
    assert given.to_dict() == {
        "value": True,
        "variant": "treatment",
        "reason": "RULE_MATCH",
        "ruleId": "rule-1",
        "configVersion": 7,
        "stale": False,
    }
    failed = environment().evaluate("nobody", Context(), 1).to_dict()
    assert failed["errorCode"] == "FLAG_NOT_FOUND"


def test_evaluate__rule_with_an_empty_allocation__serves_nobody() -> None:
    document = flag(rules=[rule([], 1, allocation=[]), rule([], 2)])
    assert answer(document).rule_id == "rule-2"
