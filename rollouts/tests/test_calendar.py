"""What is to come, by the one planner: as far as time alone decides, and no more rows than a page holds."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from flags.models import FlagConfig
from rollouts.admin import calendar
from rollouts.admin.plan_charts import to_come
from rollouts.models import RolloutPlan
from rollouts.tests.conftest import DAILY
from tenancy.admin.testing import signed_in
from tenancy.console_kit.pages import in_environment
from tenancy.models import Environment, User
from tenancy.roles import Role


@pytest.mark.django_db
def test_calendar__of_many_plans__has_the_first_times_of_all(
    make_flag: Callable[..., FlagConfig],
    start: Callable[..., RolloutPlan],
    environment: Environment,
    person: Callable[..., User],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gated = [{"percent": 10}, {"percent": 30, "after": "PT1H"}, {"percent": 60, "after": "PT1H", "approval": True}]
    late = [{"percent": 10}, {"percent": 30, "after": "P9D"}]
    steps = {
        "daily": DAILY,
        "gated": gated,
        "late": late,
        "asked": [{"percent": 10}, {"percent": 99, "approval": True}],
        "counted": [{"percent": 10}, {"percent": 20, "after": "PT2H", "minimumUsers": 100}],
    }
    for key, those in steps.items():
        make_flag(key)
        start(those, key=key)
    monkeypatch.setattr(calendar, "_MOST_ROWS", 4)

    shown = signed_in(person(Role.EDITOR, environment.project.organization)).get(
        in_environment("admin:rollouts_rolloutplan_calendar", environment)
    )

    rows = [row.what.removeprefix("Rollout plan of ") for row in shown.context["coming"]]
    assert rows == ["gated: 30 %", "counted: 20 %, if its conditions hold", "daily: 50 %", "daily: 100 %"]
    assert [str(plan) for plan in shown.context["waiting"]] == ["Rollout plan of asked"]
    daily = RolloutPlan.objects.get(parts__config__flag__key="daily")
    assert daily.entered_at is not None
    assert [at for at, _ in to_come(daily)] == [daily.entered_at + timedelta(days=days) for days in (1, 2)]
    assert len(to_come(daily, most=1)) == 1
