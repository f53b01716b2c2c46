"""Many plans that are due at once are written together, as each would be alone; one that cannot be keeps no other."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from flags.models import Change, FlagConfig
from flags.selectors import get_config
from flags.services import kill_flag, served_of
from rollouts.executor import plans as executor
from rollouts.models import RolloutPlan
from rollouts.tests.conftest import DAILY, events
from tenancy.models import Environment
from tenancy.testing import ALICE

SHARES = [{"variant": "control", "percent": 90}, {"variant": "treatment", "percent": 10}]
KEYS = ["one", "two", "three", "four"]


@pytest.fixture
def begun(make_flag: Callable[..., FlagConfig], start: Callable[..., RolloutPlan]) -> datetime:
    """Four plans that have taken their first step; the last of them is in a rule."""
    plans = []
    for key in KEYS:
        rule = {
            "conditions": [{"attribute": "plan", "operator": "in", "value": ["pro"]}],
            "rollout": SHARES,
            "priority": 10,
        }
        config = make_flag(key, rollout=SHARES, rules=[rule] if key == "four" else [])
        rule_id = str(config.rules.get().pk) if key == "four" else None
        plans.append(start(DAILY, key=key, ruleId=rule_id))
    return max(plan.started_at for plan in plans if plan.started_at)


def _plan(environment: Environment, key: str) -> RolloutPlan:
    return RolloutPlan.objects.get(environment=environment, parts__config__flag__key=key)


def _said(plan: RolloutPlan) -> tuple[object, ...]:
    acts = [(line["act"], line["step"], line["percent"], line["why"]) for line in plan.history]
    wait = (plan.waits_for, plan.waits_because.partition(" at ")[0], plan.verdicts)
    assert plan.due_at == plan.next_step_at == (plan.entered_at + timedelta(days=1) if plan.entered_at else None)
    return plan.state, plan.current_step, plan.version, acts, *wait


@pytest.mark.django_db
def test_plans__due_at_once__are_written_together_as_alone(
    environment: Environment, begun: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "_look_at", None)
    versions = list(Change.objects.filter(environment=environment).values_list("version", flat=True))
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert executor.run(begun + timedelta(days=1)) == 4
    monkeypatch.undo()

    assert len(queries) < 50
    for key in KEYS:
        plan, config = _plan(environment, key), get_config(environment, key)
        part = plan.parts.get()
        served = served_of(config, list(config.rules.all()), part.rule_id)
        assert served is not None
        assert (plan.current_step, served.ranges, config.version) == (2, part.rungs[1], 3)
    rows = events("flag.rollout_progress")
    assert [(row.entity_key, row.after["step"]) for row in rows] == [(key, step) for step in (1, 2) for key in KEYS]  # type: ignore[index]  # each has one
    now = Change.objects.filter(environment=environment).order_by("version").values_list("version", flat=True)
    assert list(now) == list(range(1, len(versions) + 5))
    together = _said(_plan(environment, "one"))
    RolloutPlan.objects.exclude(pk=_plan(environment, "two").pk).update(due_at=None)
    two = _plan(environment, "two")
    two.current_step, two.version, two.history = 1, two.version - 1, two.history[:-1]
    two.entered_at, two.due_at = begun - timedelta(minutes=1), begun
    two.save()
    assert executor.run(begun + timedelta(days=1)) == 1
    assert _said(_plan(environment, "two")) == together


@pytest.mark.django_db
def test_plans__at_their_end_at_once__are_completed_together_but_for_those_made_permanent(
    environment: Environment,
    begun: datetime,
    make_flag: Callable[..., FlagConfig],
    start: Callable[..., RolloutPlan],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_flag("for-good", rollout=SHARES)
    permanent = start(DAILY, key="for-good", then="make_permanent")
    RolloutPlan.objects.filter(pk=permanent.pk).update(entered_at=begun, due_at=begun)
    alone, look_at = [], executor._look_at
    monkeypatch.setattr(executor, "_look_at", lambda plan, *rest: (alone.append(plan), look_at(plan, *rest)))

    assert executor.run(begun + timedelta(days=2)) == 5

    assert alone == [permanent]
    for key in KEYS:
        plan, config = _plan(environment, key), get_config(environment, key)
        part = plan.parts.get()
        served = served_of(config, list(config.rules.all()), part.rule_id)
        assert served is not None
        assert (plan.state, plan.current_step, plan.due_at, plan.waits_for) == ("completed", 3, None, "")
        assert plan.finished_at is not None
        assert (plan.finished_at >= plan.created_at, part.is_open, served.ranges) == (True, False, part.rungs[-1])
    assert sorted(row.entity_key for row in events("flag.rollout_completed")) == sorted([*KEYS, "for-good"])


@pytest.mark.django_db
def test_plans__one_of_them_refused__is_held_alone(environment: Environment, begun: datetime) -> None:
    part = _plan(environment, "two").parts.get()
    part.rungs = [[[0, 10_000, "unknown"]] for _ in part.rungs]
    part.save()

    executor.run(begun + timedelta(days=1))

    assert [_plan(environment, key).current_step for key in KEYS] == [2, 1, 2, 2]
    broken = _plan(environment, "two")
    assert (broken.state, "could not be written" in broken.waits_because) == ("held", True)
    steps = [(row.entity_key, row.after["step"]) for row in events("flag.rollout_progress")]  # type: ignore[index]  # each has one
    assert sorted(steps) == sorted([*((key, 1) for key in KEYS), ("one", 2), ("three", 2), ("four", 2)])


@pytest.mark.django_db
def test_train__refused_in_a_batch__leaves_no_gap_in_the_version_log(
    environment: Environment, begun: datetime, make_flag: Callable[..., FlagConfig], start: Callable[..., RolloutPlan]
) -> None:
    for key in ("engine", "wagon"):
        make_flag(key, rollout=SHARES)
    train = start(DAILY, key="engine", flags=[{"flagKey": "wagon", "variant": "treatment"}])
    # The first flag of the train is written, the second is refused, and other plans come after it.
    broken = train.parts.get(config__flag__key="wagon")
    broken.rungs = [[[0, 10_000, "unknown"]] for _ in broken.rungs]
    broken.save()
    RolloutPlan.objects.filter(pk=train.pk).update(entered_at=begun, due_at=begun)

    executor.run(begun + timedelta(days=1))

    kill_flag(actor=ALICE, environment=environment, key="one")
    train.refresh_from_db()
    assert (train.state, _plan(environment, "four").current_step) == ("held", 2)
    environment.refresh_from_db()
    versions = Change.objects.filter(environment=environment).order_by("version").values_list("version", flat=True)
    assert list(versions) == list(range(1, environment.config_version + 1))


@pytest.mark.django_db
def test_plan__whose_data_cannot_be_read__keeps_no_other_from_its_step(
    environment: Environment,
    begun: datetime,
    make_flag: Callable[..., FlagConfig],
    start: Callable[..., RolloutPlan],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_flag("counted", rollout=SHARES)
    counted = start([{"percent": 20}, {"percent": 50, "minimumUsers": 5}], key="counted")
    RolloutPlan.objects.filter(pk=counted.pk).update(due_at=begun)

    def fails(*_: object) -> None:
        raise RuntimeError("the event store is broken")

    monkeypatch.setattr(executor, "gather", fails)
    now = begun + timedelta(days=1)
    assert executor.run(now) == 5

    assert [_plan(environment, key).current_step for key in KEYS] == [2, 2, 2, 2]
    counted.refresh_from_db()
    assert (counted.state, counted.current_step, counted.due_at) == ("running", 1, now + timedelta(minutes=1))
