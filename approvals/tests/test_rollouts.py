"""Plans where changes are approved: the start is asked about, its steps are not, and freezes are waited for."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals import services
from experiments import services as experiments
from flags.models import FlagConfig
from flags.selectors import get_config
from flags.services import gate, update_flag
from rollouts import services as rollouts
from rollouts.executor import plans as executor
from rollouts.executor import schedules
from rollouts.models import RolloutPlan, ScheduledChange
from rollouts.selectors import get_plan
from tenancy.callers.principals import principal_of_user
from tenancy.models import Environment, User
from tenancy.testing import ALICE

KEY = "new-checkout"
STEPS = [{"percent": 50}, {"percent": 100, "after": "P1D"}]
HALVES = [{"variant": "control", "percent": 50}, {"variant": "treatment", "percent": 50}]
pytestmark = pytest.mark.django_db


def _share(environment: Environment) -> int:
    return sum(end - begin for begin, end, name in get_config(environment, KEY).allocation if name == "treatment")


def test_plan__in_a_guarded_environment__is_asked_about_once(
    environment: Environment, make_flag: Callable[..., FlagConfig]
) -> None:
    make_flag(KEY, rollout=[{"variant": "treatment", "percent": 10}])
    content: dict[str, Any] = {"variant": "treatment", "steps": STEPS}
    rollouts.save_plan(actor=ALICE, environment=environment, key=KEY, payload=content)
    services.set_policy(actor=ALICE, environment=environment, payload={"requiredApprovals": 1}, version=None)
    environment.refresh_from_db()
    with pytest.raises(gate.Refused) as refused:
        rollouts.start_plan(actor=ALICE, environment=environment, key=KEY, version=1)
    (change,) = refused.value.extra["changeRequest"]["changes"]
    assert (change["resource"], change["action"]) == ({"type": "rollout_plan", "key": KEY}, "start")
    # What was seen is what is asked about.
    assert change["baseVersion"] == 1
    assert (get_plan(environment, KEY).state, _share(environment)) == ("draft", 1000)
    with gate.permitted():
        rollouts.start_plan(actor=ALICE, environment=environment, key=KEY)
    assert _share(environment) == 5000
    now = timezone.now()
    services.create_freeze(
        actor=ALICE, place=environment, payload={"name": "Holidays", "until": now + timedelta(days=3)}
    )
    executor.run(now + timedelta(days=2))
    waiting = get_plan(environment, KEY)
    assert (waiting.state, waiting.waits_for, _share(environment)) == ("running", "freeze", 5000)
    executor.run(now + timedelta(days=4))
    assert (get_plan(environment, KEY).state, _share(environment)) == ("completed", 10_000)


def test_start__where_a_policy_asks_by_impact__is_asked_about_by_its_last_step(
    environment: Environment, make_flag: Callable[..., FlagConfig]
) -> None:
    make_flag(KEY, rollout=[{"variant": "treatment", "percent": 10}])
    content: dict[str, Any] = {"variant": "treatment", "steps": [{"percent": 15}, {"percent": 80, "after": "P1D"}]}
    rollouts.save_plan(actor=ALICE, environment=environment, key=KEY, payload=content)
    policy = {"requiredApprovals": 1, "when": {"impactPercent": 50}}
    services.set_policy(actor=ALICE, environment=environment, payload=policy, version=None)
    environment.refresh_from_db()
    with pytest.raises(gate.Refused, match="moves up to 70 % of the users"):
        rollouts.start_plan(actor=ALICE, environment=environment, key=KEY)
    assert _share(environment) == 1000


def test_start__of_a_plan_that_ends_for_good__asks_where_else_its_tag_goes(
    environment: Environment, staging: Environment, make_flag: Callable[..., FlagConfig]
) -> None:
    make_flag(KEY, rollout=[{"variant": "treatment", "percent": 10}])
    content: dict[str, Any] = {"variant": "treatment", "steps": STEPS}
    update_flag(actor=ALICE, environment=staging, key=KEY, payload={"enabled": True}, version=None)
    services.set_policy(actor=ALICE, environment=environment, payload={"requiredApprovals": 1}, version=None)
    rollouts.save_plan(actor=ALICE, environment=staging, key=KEY, payload=content)
    rollouts.start_plan(actor=ALICE, environment=staging, key=KEY)
    rollouts.cancel_plan(actor=ALICE, environment=staging, key=KEY)

    lasting = {**content, "steps": [{"percent": 80}, {"percent": 100, "after": "P1D"}], "then": "make_permanent"}
    rollouts.save_plan(actor=ALICE, environment=staging, key=KEY, payload=lasting)
    with pytest.raises(gate.Refused, match="production asks for 1 approval"):
        rollouts.start_plan(actor=ALICE, environment=staging, key=KEY)
    assert get_plan(staging, KEY).state == "draft"


def test_release__of_a_winner__is_asked_about_as_one_change(
    environment: Environment, make_flag: Callable[..., FlagConfig]
) -> None:
    where: dict[str, Any] = {"actor": ALICE, "environment": environment}
    make_flag(KEY, rollout=[{"variant": "control", "percent": 90}, {"variant": "treatment", "percent": 10}])
    metric = {"key": "purchase-rate", "type": "binary", "eventName": "purchase"}
    experiments.create_metric(**where, payload=metric)
    content = {"name": "Checkout", "flagKey": KEY, "primaryMetric": "purchase-rate", "allocation": HALVES}
    draft = experiments.create_experiment(**where, payload=content)
    experiments.start_experiment(**where, pk=draft.pk)
    # Without the split 40 % of the users would move, and back with it: nobody sees that between.
    policy = {"requiredApprovals": 1, "when": {"impactPercent": 35}}
    services.set_policy(actor=ALICE, environment=environment, payload=policy, version=None)
    environment.refresh_from_db()
    wanted = {"variant": "treatment", "steps": [{"percent": 90}], "reason": "It won."}
    with pytest.raises(gate.Refused, match="moves up to 40 % of the users"):
        rollouts.release_winner(**where, pk=draft.key, payload=wanted)
    wanted["steps"] = [{"percent": 80}]
    assert rollouts.release_winner(**where, pk=draft.key, payload=wanted).state == "completed"


def test_rollback__of_a_plan_at_its_end__is_asked_about_and_of_one_at_work_is_not(
    environment: Environment, make_flag: Callable[..., FlagConfig]
) -> None:
    where: dict[str, Any] = {"actor": ALICE, "environment": environment}
    for key, steps in ((KEY, STEPS[:1]), ("at-work", STEPS)):
        make_flag(key, rollout=[{"variant": "treatment", "percent": 10}])
        rollouts.save_plan(**where, key=key, payload={"variant": "treatment", "steps": steps})
        rollouts.start_plan(**where, key=key)
    services.set_policy(actor=ALICE, environment=environment, payload={"requiredApprovals": 1}, version=None)
    environment.refresh_from_db()
    with pytest.raises(gate.Refused) as refused:
        rollouts.rollback_plan(**where, key=KEY)
    (change,) = refused.value.extra["changeRequest"]["changes"]
    assert (change["resource"], change["action"]) == ({"type": "rollout_plan", "key": KEY}, "rollback")
    assert (get_plan(environment, KEY).state, _share(environment)) == ("completed", 5000)
    assert rollouts.rollback_plan(**where, key="at-work").state == "rolled_back"


def test_freeze__longer_than_a_step__is_no_time_of_the_plan(
    environment: Environment, make_flag: Callable[..., FlagConfig]
) -> None:
    make_flag(KEY, rollout=[{"variant": "treatment", "percent": 10}])
    steps = [{"percent": 20}, {"percent": 50, "after": "P1D"}, {"percent": 100, "after": "P1D"}]
    content: dict[str, Any] = {"variant": "treatment", "steps": steps}
    rollouts.save_plan(actor=ALICE, environment=environment, key=KEY, payload=content)
    rollouts.start_plan(actor=ALICE, environment=environment, key=KEY)
    now = timezone.now()
    until = now + timedelta(days=4)
    services.create_freeze(actor=ALICE, place=environment, payload={"name": "Holidays", "until": until})
    executor.run(now + timedelta(days=2))
    # The worker is late, and the freeze ended when it ended.
    executor.run(until + timedelta(hours=2))
    plan = get_plan(environment, KEY)
    assert (plan.current_step, plan.entered_at, plan.next_step_at) == (2, until, until + timedelta(days=1))
    assert _share(environment) == 5000
    executor.run(until + timedelta(days=1))
    assert get_plan(environment, KEY).state == "completed"


def test_freeze__deleted__wakes_what_waited_for_its_end(
    environment: Environment, make_flag: Callable[..., FlagConfig], person: Callable[..., User]
) -> None:
    where: dict[str, Any] = {"actor": ALICE, "environment": environment}
    for key in (KEY, "later"):
        make_flag(key, rollout=[{"variant": "treatment", "percent": 10}])
    rollouts.save_plan(**where, key=KEY, payload={"variant": "treatment", "steps": STEPS})
    rollouts.start_plan(**where, key=KEY)
    now = timezone.now()
    content = {
        "resource": {"type": "flag", "key": "later"},
        "patch": {"offVariant": "treatment"},
        "baseVersion": get_config(environment, "later").version,
        "at": now + timedelta(hours=1),
    }
    author = principal_of_user(person("editor", environment.project.organization))
    rollouts.schedule_change(principal=author, environment=environment, payload=content)
    freeze = services.create_freeze(
        actor=ALICE, place=environment, payload={"name": "Holidays", "until": now + timedelta(days=30)}
    )
    environment.refresh_from_db()
    RolloutPlan.objects.update(entered_at=now - timedelta(days=2), due_at=now)
    ScheduledChange.objects.update(due_at=now)
    assert (executor.run(), schedules.run()) == (1, 1)
    assert get_plan(environment, KEY).waits_for == "freeze"
    assert (executor.run(), schedules.run()) == (0, 0)

    services.delete_freeze(actor=ALICE, freeze=freeze)

    assert (executor.run(), schedules.run()) == (1, 1)
    assert (get_plan(environment, KEY).state, get_config(environment, "later").off_variant) == (
        "completed",
        "treatment",
    )
