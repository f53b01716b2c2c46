"""Plans where changes are approved: the start is asked about, its steps are not, and freezes are waited for."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals import services
from flags.models import FlagConfig
from flags.selectors import get_config
from flags.services import gate
from rollouts import services as rollouts
from rollouts.executor import plans as executor
from rollouts.selectors import get_plan
from tenancy.models import Environment
from tenancy.testing import ALICE

KEY = "new-checkout"
STEPS = [{"percent": 50}, {"percent": 100, "after": "P1D"}]
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
        rollouts.start_plan(actor=ALICE, environment=environment, key=KEY)
    (change,) = refused.value.extra["changeRequest"]["changes"]
    assert (change["resource"], change["action"]) == ({"type": "rollout_plan", "key": KEY}, "start")
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
