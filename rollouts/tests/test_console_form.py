"""The form of a plan: all that is chosen in it is in the plan, and all that a plan says is in the form."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from experiments import services as experiment_services
from flags.models import FlagConfig
from rollouts import services
from rollouts.admin.plan_form import is_told_by_form
from rollouts.models import RolloutPlan
from rollouts.planning.templates import BUILT_IN
from rollouts.tests.conftest import KEY, events
from tenancy.admin.testing import signed_in
from tenancy.console_kit.pages import object_url
from tenancy.models import Environment, User
from tenancy.roles import Role
from tenancy.testing import ALICE

pytestmark = pytest.mark.django_db
CHOSEN = {"metric": "purchase-rate", "marginPercent": 7.0, "action": "hold"}


@pytest.fixture
def console(environment: Environment, flag: FlagConfig, person: Callable[..., User]) -> Client:
    metric = {"key": "purchase-rate", "type": "binary", "eventName": "purchase"}
    for each in (metric, {"key": "errors", "type": "binary", "eventName": "error", "goal": "decrease"}):
        experiment_services.create_metric(actor=ALICE, environment=environment, payload=each)
    return signed_in(person(Role.EDITOR, environment.project.organization))


@pytest.fixture
def send(console: Client, environment: Environment) -> Callable[..., Any]:
    """Send the form that makes a plan."""

    def _send(**fields: Any) -> Any:
        address = f"{reverse('admin:rollouts_rolloutplan_add')}?environment={environment.pk}&flag={KEY}"
        return console.post(address, {"variant": "treatment", "action": "hold", "margin": "7", **fields})

    return _send


def _unguarded(plan: RolloutPlan) -> list[dict[str, Any]]:
    return [{name: value for name, value in step.items() if name != "guardrails"} for step in plan.steps]


@pytest.mark.parametrize("template", sorted(BUILT_IN))
def test_form__guardrail_beside_a_template__is_on_each_of_its_steps(send: Callable[..., Any], template: str) -> None:
    assert send(template=template, steps="", guardrail="purchase-rate").status_code == 302

    plan = RolloutPlan.objects.get()
    assert (plan.template, _unguarded(plan)) == (template, BUILT_IN[template]["steps"])
    assert all(len(step["guardrails"]) == 1 for step in plan.steps)
    assert all(step["guardrails"][0].items() >= CHOSEN.items() for step in plan.steps)
    assert BUILT_IN[template]["steps"][0] == {"percent": plan.steps[0]["percent"]}


def test_form__guardrail_beside_a_template_with_others__keeps_those(
    send: Callable[..., Any], environment: Environment
) -> None:
    own = [{"metric": each, "marginPercent": 1, "action": "kill"} for each in ("errors", "purchase-rate")]
    steps = [{"percent": 20, "guardrails": own}, {"percent": 100, "after": "P1D"}]
    content = {"key": "ours", "name": "Ours", "steps": steps}
    services.create_template(actor=ALICE, organization=environment.project.organization, payload=content)

    assert send(template="ours", guardrail="purchase-rate").status_code == 302

    first, second = RolloutPlan.objects.get().steps
    assert [(each["metric"], each["marginPercent"]) for each in first["guardrails"]] == [
        ("errors", 1),
        ("purchase-rate", 7.0),
    ]
    assert [each["metric"] for each in second["guardrails"]] == ["purchase-rate"]


def test_form__its_reason__is_in_the_audit_log(
    send: Callable[..., Any], console: Client, environment: Environment
) -> None:
    assert send(steps="20 % now", reason="The launch.").status_code == 302
    plan = RolloutPlan.objects.get()
    sent = {"variant": "treatment", "steps": "30 % now", "version": 1, "reason": "Too slow."}
    assert console.post(object_url(plan, "edit"), sent).status_code == 302

    assert [row.reason for row in events("rollout_plan.saved")] == ["The launch.", "Too slow."]


@pytest.mark.parametrize(
    "steps",
    [
        [{"percent": 10.5}, {"percent": 100, "after": "PT90S"}],
        [{"percent": 20}, {"percent": 100, "after": "P69DT10H41M", "minimumUsers": 1_000_000_000}],
        [{"percent": 20, "at": "2099-03-01T08:00:00.5Z"}, {"percent": 100, "approval": True}],
    ],
)
def test_form__opened_and_sent_as_it_is__changes_nothing(
    console: Client, environment: Environment, steps: list[dict[str, Any]]
) -> None:
    content = {"variant": "treatment", "steps": steps}
    plan, _ = services.save_plan(actor=ALICE, environment=environment, key=KEY, payload=content)
    address = object_url(plan, "edit")
    form = console.get(address).context["form"]

    answer = console.post(address, {name: form[name].value() or "" for name in form.fields})

    assert answer.status_code == 302, answer.context["form"].errors
    assert RolloutPlan.objects.get().steps == plan.steps


def test_form__that_could_not_read_the_plan_again__is_not_shown(console: Client, environment: Environment) -> None:
    # The words have "now" for a plan's first step alone.
    guardrail = {"metric": "errors", "marginPercent": 5, "action": "hold"}
    steps = [{"percent": 20}, {"percent": 50, "after": "PT0S"}]
    content = {"variant": "treatment", "steps": [{**step, "guardrails": [guardrail]} for step in steps]}
    plan, _ = services.save_plan(actor=ALICE, environment=environment, key=KEY, payload=content)

    assert not is_told_by_form(plan)
    assert console.get(object_url(plan, "edit"))["Location"] == object_url(plan)
