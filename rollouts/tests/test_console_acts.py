"""The pages before an act: no state of a plan breaks one, and none does what its page did not show."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from flags.models import FlagConfig
from flags.services import version_log
from rollouts import services
from rollouts.admin.plan_acts import ACTS
from rollouts.models import RolloutPlan
from rollouts.selectors import get_plan
from rollouts.tests.conftest import KEY, events
from tenancy.admin.testing import signed_in
from tenancy.console_kit.pages import object_url
from tenancy.models import Environment, User
from tenancy.roles import Role
from tenancy.testing import ALICE

pytestmark = pytest.mark.django_db
Plan = RolloutPlan.State
STEPS = [{"percent": 20}, {"percent": 25, "approval": True}, {"percent": 50, "approval": True}]
# By state: the acts of people that lead there from a plan that is not started.
WAYS: dict[Plan, list[str]] = {
    Plan.DRAFT: [],
    Plan.RUNNING: ["start"],
    Plan.HELD: ["start", "hold"],
    Plan.ROLLED_BACK: ["start", "rollback"],
    Plan.COMPLETED: ["start", "advance", "advance"],
    Plan.CANCELLED: ["cancel"],
}


@pytest.fixture
def console(environment: Environment, flag: FlagConfig, person: Callable[..., User]) -> Client:
    return signed_in(person(Role.EDITOR, environment.project.organization))


@pytest.fixture
def plan_in(environment: Environment, flag: FlagConfig) -> Callable[..., RolloutPlan]:
    """Make a plan, and bring it to the state by acts of people."""

    def _plan_in(state: Plan) -> RolloutPlan:
        about: dict[str, Any] = {"actor": ALICE, "environment": environment, "key": KEY}
        services.save_plan(**about, payload={"variant": "treatment", "steps": STEPS})
        for name in WAYS[state]:
            _service(name)(**about)
        plan = get_plan(environment, KEY)
        assert plan.state == state
        return plan

    return _plan_in


def _service(name: str) -> Callable[..., RolloutPlan]:
    return next(act.service for act in ACTS if act.name == name)


def _said(answer: Any) -> str:
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))


def _opened(console: Client, plan: RolloutPlan, act: str) -> dict[str, Any]:
    """What the page's form sends."""
    form = console.get(object_url(plan, act)).context["form"]
    values = {name: form[name].value() for name in form.fields}
    return {name: "" if value is None else value for name, value in values.items()}


@pytest.mark.parametrize("state", Plan)
def test_acts__in_each_state__are_asked_about_or_led_back_with_the_reason(
    console: Client, plan_in: Callable[..., RolloutPlan], state: Plan
) -> None:
    plan = plan_in(state)
    for act in ACTS:
        address = object_url(plan, act.name)
        for answer in (console.get(address), console.post(address, {})):
            if state in act.states:
                assert answer.status_code == (422 if answer.wsgi_request.method == "POST" else 200), act.name
                assert KEY in answer.text
            else:
                assert answer["Location"] == object_url(plan), act.name
                assert f"is {plan.get_state_display().lower()}; “{act.button}” is for one that is" in _said(answer)
    assert get_plan(plan.environment, KEY).version == plan.version


@pytest.mark.parametrize("act", [act for act in ACTS if act.name != "start"], ids=lambda act: act.name)
def test_acts__each__does_what_its_page_says(console: Client, plan_in: Callable[..., RolloutPlan], act: Any) -> None:
    plan = plan_in(act.states[0])
    answer = console.post(object_url(plan, act.name), {**_opened(console, plan, act.name), "reason": "Because."})
    assert (answer.status_code, _said(answer)) == (302, act.said)
    assert get_plan(plan.environment, KEY).version == plan.version + 1


def test_acts__of_a_plan_that_another_one_followed__are_led_back(
    console: Client, plan_in: Callable[..., RolloutPlan], environment: Environment
) -> None:
    old = plan_in(Plan.COMPLETED)
    content = {"variant": "treatment", "steps": [{"percent": 80}]}
    services.save_plan(actor=ALICE, environment=environment, key=KEY, payload=content)
    answer = console.get(object_url(old, "rollback"))
    assert (answer["Location"], "another plan meanwhile" in _said(answer)) == (object_url(old), True)


def test_advance__of_a_step_that_was_taken_meanwhile__is_asked_about_again(
    console: Client, plan_in: Callable[..., RolloutPlan], environment: Environment, share: Any
) -> None:
    plan = plan_in(Plan.RUNNING)
    address, sent = object_url(plan, "advance"), _opened(console, plan, "advance")
    assert "20 % get treatment now, 25 % afterwards" in console.get(address).text
    services.advance_plan(actor=ALICE, environment=environment, key=KEY)

    answer = console.post(address, {**sent, "reason": "Ready."})

    assert (answer.status_code, share()) == (409, 2500)
    assert "changed while you read this page: advanced by hand (25 %), step taken (25 %)." in answer.text
    assert "25 % get treatment now, 50 % afterwards" in answer.text
    again = answer.context["form"]
    assert again["reason"].value() == "Ready."
    pressed = console.post(address, {name: again[name].value() for name in again.fields})
    assert (pressed.status_code, share()) == (302, 5000)


def test_advance__of_a_plan_that_was_held_meanwhile__is_led_back(
    console: Client, plan_in: Callable[..., RolloutPlan], environment: Environment, share: Any
) -> None:
    plan = plan_in(Plan.RUNNING)
    sent = _opened(console, plan, "advance")
    services.hold_plan(actor=ALICE, environment=environment, key=KEY)
    answer = console.post(object_url(plan, "advance"), sent)
    assert (answer["Location"], share()) == (object_url(plan), 2000)
    assert "is held; “Take the next step” is for one that is running" in _said(answer)


def test_act__while_a_worker_looks_and_changes_nothing__is_done(
    console: Client, start: Callable[..., RolloutPlan], look: Callable[..., RolloutPlan]
) -> None:
    plan = start([{"percent": 20}, {"percent": 50, "minimumUsers": 5}])
    sent = _opened(console, plan, "advance")
    assert look(plan, hours=1).current_step == 1
    assert console.post(object_url(plan, "advance"), sent).status_code == 302


def test_start__of_a_plan_that_was_edited_meanwhile__shows_what_it_is_now(
    console: Client, plan_in: Callable[..., RolloutPlan], environment: Environment
) -> None:
    plan = plan_in(Plan.DRAFT)
    sent = _opened(console, plan, "start")
    content = {"variant": "treatment", "steps": [{"percent": 90}]}
    services.save_plan(actor=ALICE, environment=environment, key=KEY, payload=content, version=1)

    answer = console.post(object_url(plan, "start"), sent)

    assert answer.status_code == 409
    assert "the first step is 90 %" in answer.text
    assert not events("flag.rollout_scheduled")


@pytest.mark.parametrize("act", ["resume", "advance"])
def test_act__after_which_further_steps_are_due__says_where_it_leads(
    console: Client, start: Callable[..., RolloutPlan], environment: Environment, share: Any, act: str
) -> None:
    plan = start([{"percent": 20}, {"percent": 25, "approval": True}, {"percent": 90, "at": "2099-01-01T00:00:00Z"}])
    passed = [*plan.steps[:2], {**plan.steps[2], "at": "2020-01-01T00:00:00Z"}]
    if act == "resume":
        services.hold_plan(actor=ALICE, environment=environment, key=KEY)
        passed[1] = {"percent": 25, "at": "2019-01-01T00:00:00Z"}
    RolloutPlan.objects.update(steps=passed)
    assert "20 % get treatment now, 90 % afterwards; 70 % of users change" in console.get(object_url(plan, act)).text
    assert console.post(object_url(plan, act), _opened(console, plan, act)).status_code == 302
    assert share() == 9000


def test_start__of_a_plan_that_is_deleted_meanwhile__is_not_found(
    console: Client, plan_in: Callable[..., RolloutPlan], environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_in(Plan.DRAFT)
    sent, lock = _opened(console, plan, "start"), version_log.lock_project

    def deleted_first(project: Any) -> Any:
        monkeypatch.setattr(version_log, "lock_project", lock)
        services.delete_plan(actor=ALICE, environment=environment, key=KEY)
        return lock(project)

    monkeypatch.setattr(version_log, "lock_project", deleted_first)
    assert console.post(object_url(plan, "start"), sent).status_code == 404
