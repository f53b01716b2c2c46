"""Ways around a plan: changes beside its share that would give people the variant, or take what its steps need."""

from collections.abc import Callable
from typing import Any

import pytest
from openflagship.engine import CompiledEnvironment, Context

from flags.models import FlagConfig
from flags.services import update_flag
from flags.versions.loading import load_document
from rollouts import services
from rollouts.models import RolloutPlan
from rollouts.services import conflicts, stepping
from rollouts.tests.conftest import KEY, events
from tenancy.errors import Conflict, Invalid
from tenancy.models import Environment
from tenancy.testing import ALICE

Start = Callable[..., RolloutPlan]
STEPS = [{"percent": 10}, {"percent": 100, "approval": True}]
CONTROL = [{"variant": "control", "percent": 100}]
pytestmark = pytest.mark.django_db


@pytest.fixture
def uncovered(make_flag: Callable[..., FlagConfig]) -> FlagConfig:
    """A flag that deals nothing: its default variant, control, reaches everybody."""
    return make_flag(KEY)


def _edit(environment: Environment, key: str = KEY, **payload: Any) -> FlagConfig:
    return update_flag(actor=ALICE, environment=environment, key=key, payload=payload, version=None)


def _act(act: Callable[..., Any], environment: Environment, key: str = KEY) -> RolloutPlan:
    found: RolloutPlan = act(actor=ALICE, environment=environment, key=key, reason="because")
    return found


def _treated(environment: Environment, key: str = KEY, **attributes: Any) -> int:
    compiled = CompiledEnvironment.from_document(load_document(environment.pk) or {})
    users = [Context(f"user-{number}", attributes) for number in range(500)]
    return sum(compiled.evaluate(key, user).variant == "treatment" for user in users)


def _refusal(write: Callable[[], Any]) -> tuple[str, str | None]:
    with pytest.raises((Conflict, Invalid)) as refused:
        write()
    return refused.value.problems[0].code, refused.value.problems[0].attr


@pytest.mark.usefixtures("uncovered")
def test_default__made_the_plans_variant_while_it_runs__is_refused(start: Start, environment: Environment) -> None:
    plan = start(STEPS)
    refused = _refusal(lambda: _edit(environment, defaultVariant="treatment"))
    assert refused == ("rollout_in_progress", "defaultVariant")
    assert 0 < _treated(environment) < 100
    # It takes nothing away from the plan to send what is there.
    _edit(environment, defaultVariant="control", description="fine")
    assert (_act(services.rollback_plan, environment).state, _treated(environment)) == ("rolled_back", 0)
    assert plan.pk == RolloutPlan.objects.get().pk


@pytest.mark.usefixtures("uncovered")
def test_default__made_the_plans_variant_while_it_is_held__lets_no_plan_go_on_or_say_that_it_went_back(
    start: Start, environment: Environment
) -> None:
    start(STEPS)
    _act(services.hold_plan, environment)
    _edit(environment, defaultVariant="treatment")
    for act in (services.rollback_plan, services.resume_plan):
        assert _refusal(lambda act=act: _act(act, environment)) == ("share_changed", "defaultVariant")
    assert RolloutPlan.objects.get().state == "held"
    _edit(environment, defaultVariant="control")
    assert (_act(services.rollback_plan, environment).state, _treated(environment)) == ("rolled_back", 0)


@pytest.mark.usefixtures("uncovered")
def test_default__made_the_plans_variant_after_the_end__lets_no_rollback_say_that_it_went_back(
    start: Start, environment: Environment
) -> None:
    assert start([{"percent": 50}]).state == "completed"
    _edit(environment, defaultVariant="treatment")
    assert _refusal(lambda: _act(services.rollback_plan, environment)) == ("share_changed", "defaultVariant")


def test_default__where_the_anchor_leaves_nobody_over__keeps_no_rollback(
    start: Start, environment: Environment, flag: FlagConfig
) -> None:
    start([{"percent": 50}])
    _edit(environment, defaultVariant="treatment")
    plan = _act(services.rollback_plan, environment)
    said = f"because; {KEY}: defaultVariant changed meanwhile and stays"
    assert (plan.state, plan.waits_because, plan.history[-1]["why"]) == ("rolled_back", said, said)
    assert "defaultVariant changed meanwhile and stays" in events("flag.rolled_back")[0].reason
    assert 0 < _treated(environment) < 100


@pytest.mark.usefixtures("uncovered")
def test_rollback_by_a_guardrail__of_a_plan_with_another_default__does_not_report_success(
    start: Start, environment: Environment
) -> None:
    plan = start(STEPS)
    # As of a plan that was started before this edit was refused.
    with conflicts.writing(plan):
        _edit(environment, defaultVariant="treatment")
    where = {"plan": plan, "environments": {environment.pk: environment}}
    refused = _refusal(lambda: stepping.put_back(actor=ALICE, reason="harm", **where))
    assert refused == ("anchor_not_reached", "defaultVariant")


@pytest.mark.usefixtures("uncovered")
def test_start__with_a_default_that_was_changed_since_the_plan_was_saved__is_refused(environment: Environment) -> None:
    content = {"variant": "treatment", "steps": STEPS}
    services.save_plan(actor=ALICE, environment=environment, key=KEY, payload=content)
    _edit(environment, defaultVariant="treatment")
    assert _refusal(lambda: _act(services.start_plan, environment)) == ("is_default", "variant")
    assert RolloutPlan.objects.get().state == "draft"


def test_default__of_a_plan_in_a_rule__is_refused_while_the_rule_leaves_people_to_it(
    start: Start, environment: Environment, make_flag: Callable[..., FlagConfig]
) -> None:
    in_berlin = [{"attribute": "city", "operator": "equals", "value": "Berlin"}]
    share = [{"variant": "treatment", "percent": 5}]
    partly = make_flag("partly", rules=[{"priority": 1, "conditions": in_berlin, "rollout": share}])
    wholly = make_flag("wholly", rules=[{"priority": 1, "conditions": in_berlin, "variant": "control"}])
    for config in (partly, wholly):
        start(STEPS, key=config.flag.key, ruleId=str(config.rules.get().pk))
    refused = _refusal(lambda: _edit(environment, "partly", defaultVariant="treatment"))
    assert refused == ("rollout_in_progress", "defaultVariant")
    assert 0 < _treated(environment, "partly", city="Berlin") < 100
    # Here the rule gives everybody something.
    _edit(environment, "wholly", defaultVariant="treatment")
    assert 0 < _treated(environment, "wholly", city="Berlin") < 100


def test_variants__that_a_step_or_a_rollback_serves__are_not_deleted_from_any_environment(
    start: Start, environment: Environment, staging: Environment, make_flag: Callable[..., FlagConfig]
) -> None:
    keys = ("control", "treatment", "other")
    make_flag(KEY, type="string", variants=[{"key": key, "value": key} for key in keys])
    # Nothing is served of it before somebody approves.
    start([{"percent": 10, "approval": True}, {"percent": 100, "after": "P1D"}])
    without = [{"key": key, "value": key} for key in ("control", "other")]
    for place in (environment, staging):
        refused = _refusal(lambda place=place: _edit(place, variants=without))
        assert refused == ("rollout_in_progress", "variants")
    _edit(environment, variants=[{"key": key, "value": key} for key in ("control", "treatment")])


def test_default__of_a_plan_in_a_rule_that_is_full_at_present__is_refused_for_the_rollback(
    start: Start, environment: Environment, make_flag: Callable[..., FlagConfig]
) -> None:
    shares = [{"variant": "treatment", "percent": 5}, {"variant": "control", "percent": 45}]
    rule = {"priority": 1, "conditions": [], "rollout": shares}
    open_, closed = make_flag("open", rules=[rule]), make_flag("closed", rules=[rule], rollout=CONTROL)
    for config in (open_, closed):
        steps = [{"percent": 55}, {"percent": 100, "approval": True}]
        start(steps, key=config.flag.key, ruleId=str(config.rules.get().pk))
    refused = _refusal(lambda: _edit(environment, "open", defaultVariant="treatment"))
    assert refused == ("rollout_in_progress", "defaultVariant")
    # Whomever this rule leaves over gets the flag's own rollout.
    _edit(environment, "closed", defaultVariant="treatment")
    assert _refusal(lambda: _edit(environment, "closed", rollout=[])) == ("rollout_in_progress", "defaultVariant")
    for key in ("open", "closed"):
        assert _act(services.rollback_plan, environment, key).state == "rolled_back"


def test_variants__deleted_while_the_plan_is_held__let_no_plan_go_on_that_serves_them(
    start: Start, environment: Environment, make_flag: Callable[..., FlagConfig]
) -> None:
    everything = [{"key": key, "value": key} for key in ("control", "treatment", "other")]
    rollout = [{"variant": "other", "percent": 90}, {"variant": "treatment", "percent": 10}]
    for key in ("ahead", "behind"):
        make_flag(key, type="string", variants=everything, rollout=[] if key == "ahead" else rollout)
    start([{"percent": 10, "approval": True}, {"percent": 100, "after": "P1D"}], key="ahead")
    _act(services.hold_plan, environment, "ahead")
    _edit(environment, "ahead", variants=[item for item in everything if item["key"] != "treatment"])
    assert _refusal(lambda: _act(services.resume_plan, environment, "ahead")) == ("share_changed", "variants")
    # Nobody had it before the plan.
    assert _act(services.rollback_plan, environment, "ahead").state == "rolled_back"
    assert start([{"percent": 100}], key="behind").state == "completed"
    _edit(environment, "behind", variants=[item for item in everything if item["key"] != "other"])
    assert _refusal(lambda: _act(services.rollback_plan, environment, "behind")) == ("share_changed", "variants")
