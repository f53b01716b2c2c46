"""An experiment owns its split: what a draft, a start and an end change for whom, through the compiled runtime."""

from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from openflagship.engine import Context, snapshot_schema

from audit.models import Entry
from experiments import services
from experiments.models import Experiment
from experiments.selectors import get_experiment
from flags.evaluation.explanation import explain_evaluation
from flags.exchange.export import export_environment
from flags.models import Change, FlagConfig
from flags.propagation.runtime import load_environment
from flags.services import create_flag, kill_flag, rollback_flag, update_flag
from tenancy.errors import Conflict, Invalid
from tenancy.testing import ALICE

PRO_US = {
    "all": [
        {"attribute": "plan", "operator": "equals", "value": "pro"},
        {"attribute": "country", "operator": "equals", "value": "US"},
    ]
}
RULE = {
    "priority": 10,
    "name": "Germans",
    "conditions": [{"attribute": "country", "operator": "equals", "value": "DE"}],
    "rollout": [{"variant": "treatment", "percent": 25}],
}
# Each user with a plan and a country; some without a unit.
PEOPLE = [
    Context(
        None if number % 97 == 0 else f"user-{number}",
        {"plan": ("pro", "free")[number % 2], "country": ("US", "DE", "US")[number % 3]},
    )
    for number in range(1500)
]
REST = {
    "off": {"enabled": False, "rollout": [{"variant": "treatment", "percent": 100}]},
    "on, with rules": {"enabled": True, "rules": [RULE]},
    "on, with a rollout": {"enabled": True, "rollout": [{"variant": "treatment", "percent": 30}]},
    "on, with targets": {"enabled": True, "targets": [{"variant": "treatment", "userIds": ["user-6", "user-12"]}]},
    "three variants": {
        "enabled": True,
        "type": "string",
        "variants": [{"key": key, "value": key} for key in ("control", "treatment", "third")],
        "rollout": [{"variant": "third", "percent": 10}],
    },
}


def _answers(environment):
    compiled = load_environment(environment.pk)
    found = [compiled.evaluate("asked", context) for context in PEOPLE]
    return [(answer.variant, answer.reason, answer.detail) for answer in found]


def _changed_others(before, after):
    """Who takes no part afterwards, and got something else before."""
    return [
        (context, old, new)
        for context, old, new in zip(PEOPLE, before, after, strict=True)
        if new[1] != "EXPERIMENT" and new != old
    ]


@pytest.fixture
def draft(environment, make_metric) -> Callable[..., Experiment]:
    def _draft(**payload: Any) -> Experiment:
        make_metric()
        content = {"name": "Pay later", "flagKey": "asked", "primaryMetric": "purchase-rate", **payload}
        return services.create_experiment(actor=ALICE, environment=environment, payload=content)

    return _draft


@pytest.fixture
def flag_of(environment) -> Callable[..., FlagConfig]:
    def _flag_of(**payload: Any) -> FlagConfig:
        return create_flag(actor=ALICE, environment=environment, payload={"key": "asked", **payload})[0]

    return _flag_of


@pytest.fixture
def act(environment):
    def _act(verb, experiment, **options):
        found = getattr(services, f"{verb}_experiment")(
            actor=ALICE, environment=environment, pk=experiment.pk, **options
        )
        return found[0] if isinstance(found, tuple) else found

    return _act


def test_draft__made_changed_and_deleted__changes_nothing_served(environment, flag_of, draft, act):
    """Found C1 and C2."""
    flag_of(enabled=False)
    before, steps = load_environment(environment.pk).document(), Change.objects.count()
    made = draft(audience=PRO_US, trafficPercent=20)
    services.update_experiment(
        actor=ALICE,
        environment=environment,
        pk=made.pk,
        payload={"allocation": [{"variant": "treatment", "percent": 70}], "trafficPercent": 40},
        version=None,
    )
    act("delete", made)

    environment.refresh_from_db()
    assert load_environment(environment.pk).document() == before
    assert Change.objects.count() == steps
    assert not FlagConfig.objects.get().is_enabled


def test_start__flag_is_off__is_refused_with_the_price_of_switching_it_on(environment, flag_of, draft, act):
    flag_of(enabled=False, rollout=[{"variant": "treatment", "percent": 30}])
    made = draft(audience=PRO_US, trafficPercent=20)
    with pytest.raises(Invalid) as refused:
        act("start", made)

    (problem,) = refused.value.problems
    assert (problem.attr, problem.code) == ("flagKey", "flag_off")
    assert "enableFlag" in problem.detail
    assert "30 % treatment" in problem.detail
    steps = Change.objects.count()
    act("start", made, enable_flag=True)
    assert FlagConfig.objects.get().is_enabled
    assert Change.objects.count() == steps + 1, "the flag is on and carries the experiment in one step"
    assert (
        Entry.objects.filter(action="flag.updated").latest("pk").reason == "Switched on at the start of an experiment"
    )


@pytest.mark.parametrize("shape", [name for name in REST if name != "off"])
@pytest.mark.parametrize("place", [None, 5])
def test_lifecycle__whoever_takes_no_part__is_served_as_before(  # noqa: PLR0917 - fixtures and parameters
    environment, flag_of, draft, act, shape, place
):
    flag_of(**REST[shape])
    before = _answers(environment)
    made = draft(audience=PRO_US, trafficPercent=20, priority=place)
    assert _answers(environment) == before
    started = act("start", made)
    during = _answers(environment)
    assert _changed_others(before, during) == []
    taking_part = {new[0] for new in during if new[1] == "EXPERIMENT"}
    assert taking_part == {variant["key"] for variant in FlagConfig.objects.get().flag.variants}
    share = sum(new[1] == "EXPERIMENT" for new in during) / len(PEOPLE)
    assert 0.02 < share < 0.11, "a fifth of a third"
    act("pause", started)
    assert _answers(environment) == during
    act("resume", started)
    assert _answers(environment) == during
    act("complete", started, decision="stop")
    assert _answers(environment) == before


def test_start__killed_or_prerequisite_failed__keeps_what_comes_first(environment, flag_of, draft, act):
    create_flag(actor=ALICE, environment=environment, payload={"key": "first", "enabled": True})
    flag_of(enabled=True, prerequisites=[{"flagKey": "first", "variants": ["treatment"]}])
    before = _answers(environment)
    started = act("start", draft())
    assert _answers(environment) == before, "nobody meets the prerequisite"
    kill_flag(actor=ALICE, environment=environment, key="asked", variant="treatment")
    killed = _answers(environment)
    act("complete", started, decision="stop")
    assert {answer[:2] for answer in _answers(environment)} == {answer[:2] for answer in killed}
    assert killed[0][1] == "KILL_SWITCH"


@pytest.mark.parametrize(
    ("payload", "attr", "code"),
    [
        ({"allocation": [{"variant": "blue", "percent": 50}]}, "allocation[0].variant", "unknown_variant"),
        ({"allocation": [{"variant": "treatment", "percent": 100}]}, "allocation", "invalid_split"),
        ({"allocation": [{"variant": "control", "percent": 100}]}, "allocation", "invalid_split"),
        (
            {"allocation": [{"variant": key, "percent": 40} for key in ("control", "treatment")]},
            "allocation",
            "weights_below_100",
        ),
        (
            {"allocation": [{"variant": key, "percent": 60} for key in ("control", "treatment")]},
            "allocation",
            "weights_exceed_100",
        ),
        ({"priority": 10}, "priority", "duplicate"),
        ({"key": "power"}, "key", "reserved"),
        ({"key": "0193aaaa-0000-7000-8000-000000000000"}, "key", "reserved"),
        ({"key": "no spaces"}, "key", "invalid"),
    ],
)
def test_create_experiment__bad_split_place_or_key__names_the_field(flag_of, draft, payload, attr, code):
    flag_of(enabled=True, rules=[RULE])
    with pytest.raises(Invalid) as refused:
        draft(**payload)

    assert [(problem.attr, problem.code) for problem in refused.value.problems] == [(attr, code)]


def test_create_experiment__key__is_made_from_the_name_and_found_by_it(environment, flag_of, draft):
    flag_of()
    first, second = draft(name="Päy later!"), draft(name="Pay later")
    assert (first.slug, second.slug) == ("pay-later", "pay-later-2")
    assert get_experiment(environment, "pay-later-2") == second
    again = {"key": "pay-later", "name": "Päy later!", "flagKey": "asked", "primaryMetric": "purchase-rate"}
    find = services.find_or_create_experiment
    assert find(actor=ALICE, environment=environment, payload=again) == (first, False)
    with pytest.raises(Conflict) as refused:
        find(actor=ALICE, environment=environment, payload={**again, "trafficPercent": 3})
    assert refused.value.problems[0].code == "key_exists"


def test_start__split__is_the_phases_and_moves_the_fewest_users(environment, flag_of, draft, act):
    flag_of(enabled=True, rollout=[{"variant": "treatment", "percent": 50}])
    before = [answer[0] for answer in _answers(environment)]
    started = act("start", draft())
    assert started.phases.get().weights == {"control": 5000, "treatment": 5000}
    assert [answer[0] for answer in _answers(environment)] == before, "the even split keeps the rollout's buckets"
    assert act("restart", started, changes={"allocation": [{"variant": "treatment", "percent": 20}]})
    assert started.phases.get(number=2).weights == {"control": 8000, "treatment": 2000}


@pytest.mark.parametrize("payload", [{"allocation": [{"variant": "treatment", "percent": 60}]}, {"priority": 3}])
def test_update_experiment__running__split_and_place_are_locked(environment, flag_of, draft, act, payload):
    flag_of(enabled=True)
    started = act("start", draft(trafficPercent=20))
    with pytest.raises(Conflict) as refused:
        services.update_experiment(
            actor=ALICE, environment=environment, pk=started.pk, payload=payload, version=started.version
        )
    assert [(found.attr, found.code) for found in refused.value.problems] == [(next(iter(payload)), "rollout_conflict")]
    grown = services.update_experiment(
        actor=ALICE, environment=environment, pk=started.pk, payload={"trafficPercent": 40}, version=started.version
    )
    assert FlagConfig.objects.get().experiment["allocation"] == grown.allocation


def test_update_flag__under_an_experiment_of_some__may_change_the_rollout_of_the_rest(environment, flag_of, draft, act):
    flag_of(enabled=True, rules=[RULE])
    act("start", draft(audience=PRO_US, trafficPercent=20, priority=5))
    during = _answers(environment)

    def change(**payload):
        update_flag(actor=ALICE, environment=environment, key="asked", payload=payload, version=None)

    change(rollout=[{"variant": "treatment", "percent": 80}])
    assert [new for new in _answers(environment) if new[1] == "EXPERIMENT"] == [
        old for old in during if old[1] == "EXPERIMENT"
    ]
    with pytest.raises(Conflict):
        change(bucketBy="deviceId")
    with pytest.raises(Invalid) as refused:
        change(rules=[{**RULE, "priority": 5}])
    assert [(found.attr, found.code) for found in refused.value.problems] == [("rules[0].priority", "duplicate")]


def test_experiment_from_before__is_served_by_the_flags_allocation(environment, flag_of, draft, act):
    flag_of(enabled=True, rollout=[{"variant": "treatment", "percent": 50}])
    made = draft(trafficPercent=20)
    Experiment.objects.update(allocation=None)
    started = act("start", made)
    answers = _answers(environment)
    assert {answer[2] for answer in answers if answer[1] == "DEFAULT"} >= {"not_in_experiment"}
    restarted = act("restart", started, changes={"rollout": [{"variant": "treatment", "percent": 20}]})
    assert [phase.weights["treatment"] for phase in restarted.phases.all()] == [5000, 2000]
    act("complete", started, decision="stop")
    assert {answer[0] for answer in _answers(environment)} == {"control"}


def test_other_doors__know_split_and_place(environment, flag_of, draft, act):
    flag_of(enabled=True, rules=[RULE])
    act("start", draft(priority=5, trafficPercent=50))
    config, before = FlagConfig.objects.get(), _answers(environment)
    environment.refresh_from_db()
    began = environment.config_version
    update_flag(actor=ALICE, environment=environment, key="asked", payload={"rules": []}, version=None)
    rolled = rollback_flag(actor=ALICE, environment=environment, key="asked", version=config.version)
    assert (rolled.experiment["allocation"], rolled.experiment["priority"]) == (config.experiment["allocation"], 5)
    assert _answers(environment) == before
    environment.refresh_from_db()
    then = explain_evaluation(environment, {"flagKey": "asked", "userId": "user-1", "configVersion": began})
    assert "experiment" in {step["step"] for step in then["trace"]}
    exported = export_environment(environment)
    assert "experiment" not in exported["flags"][0]
    jsonschema.Draft202012Validator(snapshot_schema()).validate(load_environment(environment.pk).document())
