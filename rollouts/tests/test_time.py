"""A plan's time: instants that have passed, and what it waits for apart from its own conditions."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from flags.models import FlagConfig
from flags.services import update_flag
from rollouts import services
from rollouts.models import RolloutPlan
from rollouts.tests.conftest import KEY, events
from tenancy.errors import Invalid
from tenancy.models import Environment
from tenancy.testing import ALICE

Start = Callable[..., RolloutPlan]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("flag")]


def test_start__of_a_plan_whose_instants_have_passed__is_refused_by_step(
    start: Start, share: Any, environment: Environment
) -> None:
    years = [(20, "2020"), (50, "2021"), (100, "2022")]
    with pytest.raises(Invalid) as refused:
        start([{"percent": percent, "at": f"{year}-01-01T00:00:00Z"} for percent, year in years])
    problems = [(problem.attr, problem.code) for problem in refused.value.problems]
    assert problems == [("steps[1].at", "out_of_range"), ("steps[2].at", "out_of_range")]
    assert (RolloutPlan.objects.get().state, share()) == ("draft", 1000)


def test_start__of_a_plan_whose_first_instant_alone_has_passed__takes_its_first_step(
    start: Start, look: Start, share: Any
) -> None:
    tomorrow = timezone.now() + timedelta(days=1)
    last = {"percent": 100, "at": tomorrow.isoformat()}
    plan = start([{"percent": 20, "at": "2020-01-01T00:00:00Z"}, {"percent": 50, "after": "PT0S"}, last])
    # The second step asks for no wait, which is what somebody wrote.
    assert (plan.state, plan.current_step, share()) == ("running", 2, 5000)
    assert look(plan, days=2).state == "completed"


def _switch(environment: Environment, *, on: bool) -> None:
    update_flag(actor=ALICE, environment=environment, key=KEY, payload={"enabled": on}, version=None)


@pytest.mark.parametrize("count", [1, 3], ids=["alone", "together"])
def test_flag_off__for_days__is_no_time_of_the_plan(
    start: Start,
    look: Start,
    environment: Environment,
    make_flag: Callable[..., FlagConfig],
    count: int,
) -> None:
    plan = start()
    # More than one are written together.
    for number in range(1, count):
        make_flag(f"other-{number}")
        start(key=f"other-{number}")
    _switch(environment, on=False)
    for hours in (25, 60, 60, 99):
        waiting = look(plan, hours=hours)
        assert (waiting.waits_for, waiting.current_step, waiting.version) == ("flag_off", 1, plan.version)
    _switch(environment, on=True)
    RolloutPlan.objects.filter(state="running").update(due_at=plan.started_at)
    assert look(plan, hours=100).current_step == 2
    # The day of this step begins when the flag is on.
    assert (look(plan, hours=123).current_step, look(plan, hours=124).state) == (2, "completed")
    assert [row.after["step"] for row in events("flag.rollout_progress") if row.entity_key == KEY] == [1, 2, 3]  # type: ignore[index]  # each has one


def test_flag_off__and_the_plan_held_meanwhile__is_no_time_of_the_plan(
    start: Start, look: Start, environment: Environment
) -> None:
    plan = start()
    _switch(environment, on=False)
    assert look(plan, days=1).waits_for == "flag_off"
    # It has been due for long when somebody holds it.
    days_ago = timezone.now() - timedelta(days=9)
    RolloutPlan.objects.update(entered_at=days_ago)
    services.hold_plan(actor=ALICE, environment=environment, key=KEY)
    _switch(environment, on=True)
    resumed = services.resume_plan(actor=ALICE, environment=environment, key=KEY)
    assert (resumed.state, resumed.current_step) == ("running", 2)
    assert resumed.next_step_at is not None
    assert resumed.next_step_at > timezone.now() + timedelta(hours=23)
