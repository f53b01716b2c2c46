"""A plan's time: instants that have passed, and what it waits for apart from its own conditions."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from rollouts.models import RolloutPlan
from tenancy.errors import Invalid
from tenancy.models import Environment

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
