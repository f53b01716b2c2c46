"""A plan's page: users who were exposed on its step, and what the guardrails of every step said."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from experiments import services as experiment_services
from flags.models import FlagConfig
from rollouts import services
from rollouts.admin import plan_users
from rollouts.executor import evidence
from rollouts.models import RolloutPlan
from rollouts.tests.conftest import KEY
from rollouts.tests.test_guardrails import expose
from tenancy.admin.testing import signed_in
from tenancy.console_kit.pages import object_url
from tenancy.models import Environment, User
from tenancy.roles import Role
from tenancy.testing import ALICE, Caller

pytestmark = pytest.mark.django_db
Start = Callable[..., RolloutPlan]
WATCHED = [{"metric": "errors", "marginPercent": 5, "action": "rollback", "grace": "P2D"}]
STEPS = [{"percent": 20, "guardrails": WATCHED}, {"percent": 100, "after": "P1D"}]


@pytest.fixture
def console(environment: Environment, flag: FlagConfig, person: Callable[..., User]) -> Client:
    metric = {"key": "errors", "type": "binary", "eventName": "error", "goal": "decrease"}
    experiment_services.create_metric(actor=ALICE, environment=environment, payload=metric)
    return signed_in(person(Role.EDITOR, environment.project.organization))


def _since(plan: RolloutPlan, **later: float) -> datetime:
    begun: datetime = plan.started_at  # type: ignore[assignment]  # it was started
    return begun + timedelta(**later)


def test_users__exposed_since_the_step__are_counted_when_the_page_asks(
    console: Client, start: Start, environment: Environment
) -> None:
    plan = start([{"percent": 20}, {"percent": 100, "minimumUsers": 1_500}])
    expose(environment, _since(plan, hours=-1), {"control": 0, "treatment": 0}, users=50)
    expose(environment, _since(plan), {"control": 0, "treatment": 0}, users=40, seed=2)
    since = _since(plan, seconds=-1)
    RolloutPlan.objects.update(written_at=since)
    treated, rest = evidence.users_exposed(plan.parts.get(), since, _since(plan, hours=1), seconds=9)
    assert (treated + rest, 0 < treated < rest) == (40, True)

    page = console.get(object_url(plan))
    part = console.get(object_url(plan), {"users": "1"})

    assert 'data-load="?users=1"' in page.text
    assert f"{treated} with treatment, {rest} with another variant" in part.text
    assert "waits for 1,500 with the variant" in part.text


def test_users__of_a_plan_that_is_not_started__are_not_asked_for(console: Client, environment: Environment) -> None:
    content = {"variant": "treatment", "steps": [{"percent": 20}]}
    plan, _ = services.save_plan(actor=ALICE, environment=environment, key=KEY, payload=content)
    assert "?users=1" not in console.get(object_url(plan)).text
    assert console.get(object_url(plan), {"users": "1"}).status_code == 200


def test_users__of_a_plan_that_was_rolled_back__are_those_until_then(
    console: Client, start: Start, environment: Environment
) -> None:
    plan = start([{"percent": 20}, {"percent": 100, "after": "P1D"}])
    services.rollback_plan(actor=ALICE, environment=environment, key=KEY)
    RolloutPlan.objects.update(written_at=_since(plan, hours=-2), stopped_at=_since(plan, hours=-1))
    expose(environment, _since(plan, minutes=-30), {"control": 0, "treatment": 0}, users=30)
    part = console.get(object_url(plan), {"users": "1"})
    assert "0 with treatment, 0 with another variant" in part.text
    assert "until" in part.text


def _store_is_away(*_: Any) -> Any:
    raise OperationalError("away")


@pytest.mark.parametrize(
    "change",
    [(evidence.events, "flag_arms", _store_is_away), (plan_users, "_SECONDS", -1.0)],
    ids=["away", "slow"],
)
def test_users__store_that_is_away_or_slow__is_said(
    console: Client, start: Start, environment: Environment, monkeypatch: pytest.MonkeyPatch, change: Any
) -> None:
    plan = start()
    expose(environment, _since(plan), {"control": 0, "treatment": 0}, users=9)
    RolloutPlan.objects.update(written_at=_since(plan, seconds=-1))
    assert "did not answer" not in console.get(object_url(plan), {"users": "1"}).text
    monkeypatch.setattr(*change)

    part = console.get(object_url(plan), {"users": "1"})

    assert part.status_code == 200
    assert "The store of events did not answer in time" in part.text


def test_verdicts__of_each_step__stay_with_the_plan_to_its_end(
    console: Client, start: Start, look: Start, environment: Environment, viewer: Caller
) -> None:
    plan = start(STEPS)
    expose(environment, _since(plan, minutes=1), {"control": 0.1, "treatment": 0.1})
    ended = look(plan, days=1, minutes=1)

    assert (ended.state, ended.verdicts) == ("completed", [])
    kept = {line["step"]: line["verdicts"] for line in ended.history if "verdicts" in line}
    assert {step: [found["outcome"] for found in said] for step, said in kept.items()} == {1: ["holds"]}
    page = console.get(object_url(plan))
    (row,) = page.context["guardrail_chart"]["rows"]
    assert row["name"] == f"errors ({KEY}), step 1"
    assert (row["low"], row["high"]) == tuple(kept[1][0]["interval"])
    assert "The guardrail errors holds." in page.text
    history = viewer.get(f"flags/{KEY}/rollout-plan").json()["history"]
    assert [line["verdicts"] for line in history if "verdicts" in line] == [kept[1]]


def test_verdicts__that_rolled_a_plan_back__stay_when_it_is_resumed(
    console: Client, start: Start, look: Start, environment: Environment
) -> None:
    plan = start(STEPS)
    expose(environment, _since(plan, minutes=1), {"control": 0.1, "treatment": 0.3})
    assert look(plan, hours=2).state == "rolled_back"
    resumed = services.resume_plan(actor=ALICE, environment=environment, key=KEY)

    assert resumed.verdicts == []
    rows = console.get(object_url(plan)).context["guardrail_chart"]["rows"]
    assert [(row["name"], row["css"]) for row in rows] == [(f"errors ({KEY}), step 1", "is-bad")]


def test_verdicts__that_held_a_plan__stay_when_it_is_resumed(
    console: Client, start: Start, look: Start, environment: Environment
) -> None:
    plan = start([{**STEPS[0], "guardrails": [{**WATCHED[0], "action": "hold"}]}, STEPS[1]])
    expose(environment, _since(plan, minutes=1), {"control": 0.1, "treatment": 0.3})
    assert look(plan, hours=2).state == "held"
    assert services.resume_plan(actor=ALICE, environment=environment, key=KEY).verdicts == []

    rows = console.get(object_url(plan)).context["guardrail_chart"]["rows"]
    assert [(row["name"], row["css"]) for row in rows] == [(f"errors ({KEY}), step 1", "is-bad")]
