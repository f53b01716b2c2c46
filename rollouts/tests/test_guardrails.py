"""Guardrails on real events: a broken one rolls back within one check, and one that shows nothing holds in time."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from openflagship.ids import uuid7

from analytics.event_records import Batch, ConversionEvent, ExposureEvent
from analytics.services import store_events
from experiments import services as experiment_services
from flags.selectors import get_config
from rollouts import services
from rollouts.models import RolloutPlan
from rollouts.tests.conftest import KEY, events
from tenancy.models import Environment
from tenancy.testing import ALICE

Start = Callable[..., RolloutPlan]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("flag")]
USERS = 4_000


@pytest.fixture
def guarded(environment: Environment, start: Start) -> Callable[..., RolloutPlan]:
    """A plan at 20 %, with a guardrail on errors, which waits for a day."""

    def _guarded(action: str = "rollback", goal: str = "decrease") -> RolloutPlan:
        metric = {"key": "errors", "type": "binary", "eventName": "error", "goal": goal}
        experiment_services.create_metric(actor=ALICE, environment=environment, payload=metric)
        guardrail = {"metric": "errors", "marginPercent": 5, "action": action, "grace": "P2D"}
        return start([{"percent": 20, "guardrails": [guardrail]}, {"percent": 100, "after": "P1D"}])

    return _guarded


def expose(environment: Environment, at: datetime, rates: dict[str, float], users: int = USERS, seed: int = 1) -> None:
    """Users by the flag's share, some of whom have the event a minute later."""
    dice, moment = random.Random(seed), int(at.timestamp() * 1000)
    ranges = get_config(environment, KEY).allocation
    share = sum(end - begin for begin, end, name in ranges if name == "treatment") / 10_000
    exposures, conversions = [], []
    for number in range(users):
        variant, unit = "treatment" if dice.random() < share else "control", f"user-{seed}-{number}"
        about = (environment.pk, KEY, unit, variant, "ROLLOUT", None, None, 1)
        exposures.append(ExposureEvent(uuid7(moment), *about, moment, moment, "test"))
        if dice.random() < rates[variant]:
            later = moment + 60_000
            conversions.append(ConversionEvent(uuid7(later), environment.pk, unit, "error", None, later, later))
    store_events(Batch(exposures, conversions))


@pytest.mark.parametrize(
    ("action", "goal", "rates", "state"),
    [
        ("rollback", "decrease", {"control": 0.10, "treatment": 0.25}, "rolled_back"),
        # Nobody of the rest has such an event: the errors are new.
        ("rollback", "decrease", {"control": 0.0, "treatment": 0.05}, "rolled_back"),
        # Nobody with the variant buys any more.
        ("hold", "increase", {"control": 0.2, "treatment": 0.0}, "held"),
        ("kill", "decrease", {"control": 0.10, "treatment": 0.30}, "held"),
        ("rollback", "decrease", {"control": 0.10, "treatment": 0.10}, "completed"),
    ],
    ids=["worse", "new-errors", "broken", "kill", "alike"],
)
def test_guardrail__after_one_check(
    *,
    action: str,
    goal: str,
    rates: dict[str, float],
    state: str,
    guarded: Callable[..., RolloutPlan],
    look: Start,
    environment: Environment,
    share: Any,
) -> None:
    plan = guarded(action, goal)
    begun: datetime = plan.started_at  # type: ignore[assignment]  # it was started
    expose(environment, begun + timedelta(minutes=1), rates)
    found = look(plan, days=1, minutes=1) if state == "completed" else look(plan, hours=2)
    assert found.state == state, found.verdicts
    assert share() == {"rolled_back": 1000, "held": 2000, "completed": 10_000}[state]
    assert bool(get_config(environment, KEY).kill_switch_variant) == (action == "kill")
    if state == "rolled_back":
        assert found.verdicts[0]["outcome"] == "violated"
        assert found.verdicts[0]["treated"]["users"] > 700
        assert "harm beyond its margin" in events("flag.rolled_back")[0].reason


def test_guardrail__no_data_for_longer_than_its_grace__holds_and_says_so(
    guarded: Callable[..., RolloutPlan], look: Start, share: Any
) -> None:
    plan = guarded()
    waiting = look(plan, days=1, hours=1)
    assert (waiting.state, waiting.waits_for, share()) == ("running", "guardrail", 2000)
    held = look(plan, days=2, hours=1)
    assert (held.state, share()) == ("held", 2000)
    assert "no verdict after 2 days: no data came" in held.waits_because


def test_guardrail__without_a_verdict__is_passed_by_no_act(
    guarded: Callable[..., RolloutPlan], start: Start, environment: Environment, share: Any
) -> None:
    guarded()
    services.cancel_plan(actor=ALICE, environment=environment, key=KEY)
    guardrails = [{"metric": "errors", "marginPercent": 5, "action": "hold"}]
    start([{"percent": 30}, *({"percent": percent, "guardrails": guardrails} for percent in (40, 50, 60))])
    services.hold_plan(actor=ALICE, environment=environment, key=KEY)
    services.resume_plan(actor=ALICE, environment=environment, key=KEY)
    assert share() == 3000
    advanced = services.advance_plan(actor=ALICE, environment=environment, key=KEY)
    assert (advanced.current_step, advanced.waits_for, share()) == (2, "guardrail", 4000)


def test_minimum_users__are_those_exposed_since_the_step(start: Start, look: Start, environment: Environment) -> None:
    plan = start([{"percent": 20}, {"percent": 100, "minimumUsers": 100}])
    begun: datetime = plan.started_at  # type: ignore[assignment]  # it was started
    expose(environment, begun - timedelta(hours=1), {"control": 0, "treatment": 0}, users=1_000)
    assert look(plan, hours=1).waits_for == "users"
    expose(environment, begun + timedelta(minutes=1), {"control": 0, "treatment": 0}, users=1_000, seed=2)
    assert look(plan, hours=2).state == "completed"


def test_environment_that_goes_first__is_waited_for(
    start: Start, look: Start, environment: Environment, staging: Environment
) -> None:
    from flags.services import update_flag  # noqa: PLC0415 - of this test alone

    plan = start(afterEnvironment={"environment": "staging", "for": "PT1H"})
    assert (look(plan, hours=2).current_step, look(plan, hours=2).waits_for) == (0, "environment")
    all_of_it = {"enabled": True, "rollout": [{"variant": "treatment", "percent": 100}]}
    update_flag(actor=ALICE, environment=staging, key=KEY, payload=all_of_it, version=None)
    assert look(plan, minutes=30).current_step == 0
    assert look(plan, hours=5).current_step == 1
