"""Plans: saved, started, walked, held, resumed, advanced, rolled back and cancelled."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from openflagship.engine import CompiledEnvironment, Context

from experiments import services as experiment_services
from experiments.models import Experiment
from flags.documents import flag_document
from flags.models import FlagConfig
from flags.selectors import get_config
from flags.services import archive_flag, kill_flag, kill_flags, purge_flag, release_flag, update_flag
from flags.versions.loading import load_document
from rollouts import services
from rollouts.models import RolloutPlan
from rollouts.tests.conftest import KEY, events
from tenancy.errors import Conflict, Invalid
from tenancy.models import Environment
from tenancy.testing import ALICE, Caller

Start = Callable[..., RolloutPlan]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("flag")]


def _act(act: Callable[..., Any], environment: Environment, key: str = KEY) -> RolloutPlan:
    found: RolloutPlan = act(actor=ALICE, environment=environment, key=key, reason="because")
    return found


def test_plan__day_by_day__ends_at_its_last_step(start: Start, look: Start, share: Any) -> None:
    plan = start()
    assert (plan.state, plan.current_step, share()) == ("running", 1, 2000)
    assert look(plan, hours=23).current_step == 1
    assert (look(plan, days=1).current_step, share()) == (2, 5000)
    done = look(plan, days=2)
    assert (done.state, share(), done.due_at) == ("completed", 10_000, None)
    steps = events("flag.rollout_progress")
    assert [(row.after["step"], row.entity_key) for row in steps] == [(1, KEY), (2, KEY), (3, KEY)]  # type: ignore[index]  # each has one
    assert [row.action for row in events("flag.rollout_scheduled", "flag.rollout_completed")] == [
        "flag.rollout_scheduled",
        "flag.rollout_completed",
    ]


def test_plan__beat_away_for_days__goes_to_its_step_in_one_write(
    start: Start, look: Start, environment: Environment
) -> None:
    plan = start([{"percent": 11 + number, "after": "PT1H"} for number in range(20)])
    version = get_config(environment, KEY).version
    assert look(plan, days=9).state == "completed"
    assert get_config(environment, KEY).version == version + 1
    assert len(events("flag.rollout_progress")) == 20


def test_people__up_hold_rollback_resume__nobody_flips_otherwise(
    start: Start, look: Start, environment: Environment
) -> None:
    def treated() -> set[str]:
        compiled = CompiledEnvironment.from_document(load_document(environment.pk) or {})
        users = (f"user-{number}" for number in range(10_000))
        return {user for user in users if compiled.evaluate(KEY, Context(user)).variant == "treatment"}

    before = treated()
    plan = start()
    first = treated()
    look(plan, days=1)
    second = treated()
    assert before < first < second
    _act(services.hold_plan, environment)
    look(plan, days=30)
    assert treated() == second
    _act(services.rollback_plan, environment)
    assert treated() == before
    _act(services.resume_plan, environment)
    assert treated() == second
    # The step's day begins anew.
    assert look(plan, hours=1).current_step == 2


def test_rollback__other_fields_changed__puts_back_the_share_and_says_so(
    start: Start, environment: Environment
) -> None:
    anchor = flag_document(get_config(environment, KEY))
    start()
    update_flag(actor=ALICE, environment=environment, key=KEY, payload={"offVariant": "treatment"}, version=None)
    _act(services.rollback_plan, environment)
    document = flag_document(get_config(environment, KEY))
    assert document["allocation"] == anchor["allocation"]
    assert document["offVariant"] == "treatment"
    (row,) = events("flag.rolled_back")
    assert "offVariant changed meanwhile" in row.reason


def test_owned_share__edited_by_others__is_refused_with_the_plan(start: Start, environment: Environment) -> None:
    plan = start()
    for payload in ({"rollout": []}, {"bucketBy": "company"}):
        with pytest.raises(Conflict) as refused:
            update_flag(actor=ALICE, environment=environment, key=KEY, payload=payload, version=None)
        assert refused.value.problems[0].code == "rollout_in_progress"
        assert refused.value.extra["plan"]["id"] == str(plan.pk)
    update_flag(actor=ALICE, environment=environment, key=KEY, payload={"description": "fine"}, version=None)
    _act(services.hold_plan, environment)
    update_flag(actor=ALICE, environment=environment, key=KEY, payload={"rollout": []}, version=None)
    with pytest.raises(Conflict) as refused:
        _act(services.resume_plan, environment)
    assert refused.value.problems[0].code == "share_changed"


def test_kill__holds_the_plan__and_a_release_does_not_resume_it(
    start: Start, look: Start, environment: Environment
) -> None:
    plan = start()
    kill_flag(actor=ALICE, environment=environment, key=KEY)
    assert look(plan, days=3).state == "held"
    with pytest.raises(Conflict):
        _act(services.resume_plan, environment)
    release_flag(actor=ALICE, environment=environment, key=KEY)
    assert look(plan, days=3).state == "held"
    assert [row.reason for row in events("flag.rollout_held")] == ["The flag was killed."]


def test_kills__of_many_flags__hold_their_plans_at_once(
    start: Start, environment: Environment, make_flag: Callable[..., FlagConfig]
) -> None:
    def queries_of(count: int, name: str) -> int:
        keys = [f"{name}-{number}" for number in range(count)]
        for key in keys:
            make_flag(key)
            start(key=key)
        with CaptureQueriesContext(connection) as queries:
            kill_flags(actor=ALICE, environment=environment, keys=keys)
        return len(queries)

    assert queries_of(6, "many") == queries_of(2, "few")
    assert set(RolloutPlan.objects.values_list("state", "version")) == {("held", 4)}
    for plan in RolloutPlan.objects.all():
        assert (plan.due_at, plan.waits_for, plan.waits_because) == (None, "person", "The flag was killed.")
        assert [line["act"] for line in plan.history] == ["started", "step", "held"]
    assert [row.after["percent"] for row in events("flag.rollout_held")] == [20] * 8  # type: ignore[index]  # each has one


def test_purge__of_a_flag__takes_its_plans_along_and_leaves_a_train_with_the_others(
    start: Start, environment: Environment, make_flag: Callable[..., FlagConfig], editor: Caller
) -> None:
    make_flag("second")
    start([{"percent": 50}])
    train = start([{"percent": 60}], flags=[{"flagKey": "second", "variant": "treatment"}])
    where = {"actor": ALICE, "environment": environment, "key": KEY}
    archive_flag(**where)
    purge_flag(**where, confirm=KEY)
    (listed,) = editor.get("rollout-plans").json()["results"]
    assert (listed["id"], listed["flagKey"], listed["flags"]) == (str(train.pk), "second", [])


def test_rollback__of_a_held_plan__whose_share_others_changed__is_refused(
    start: Start, share: Any, environment: Environment
) -> None:
    start()
    _act(services.hold_plan, environment)
    theirs = [{"variant": "treatment", "percent": 35}]
    update_flag(actor=ALICE, environment=environment, key=KEY, payload={"rollout": theirs}, version=None)
    with pytest.raises(Conflict) as refused:
        _act(services.rollback_plan, environment)
    assert (refused.value.problems[0].code, share()) == ("share_changed", 3500)


def test_experiment__and_plan__exclude_each_other(
    start: Start, environment: Environment, running_on: Callable[[], Experiment]
) -> None:
    plan = start()
    with pytest.raises(Conflict) as refused:
        running_on()
    assert refused.value.problems[0].code == "rollout_conflict"
    services.cancel_plan(actor=ALICE, environment=environment, key=KEY)
    assert RolloutPlan.objects.get(pk=plan.pk).state == "cancelled"
    running_on()
    with pytest.raises(Conflict) as refused:
        start()
    assert refused.value.problems[0].code == "rollout_conflict"


def test_advance__approves_and_takes_the_next_step(
    start: Start, look: Start, share: Any, environment: Environment
) -> None:
    plan = start([{"percent": 20}, {"percent": 100, "approval": True}])
    waiting = look(plan, days=9)
    assert (waiting.waits_for, waiting.due_at, share()) == ("approval", None, 2000)
    done = _act(services.advance_plan, environment)
    assert (done.state, share()) == ("completed", 10_000)
    assert done.approvals["2"]["by"] == "alice"


def test_then__make_permanent__is_the_default_and_marked(start: Start, look: Start, environment: Environment) -> None:
    plan = start([{"percent": 20}, {"percent": 100, "after": "P1D"}], then="make_permanent")
    look(plan, days=1)
    config = get_config(environment, KEY)
    assert (config.default_variant, config.allocation, config.flag.tags) == ("treatment", [], ["clean-up"])


def test_train__several_flags__all_or_none_per_step(
    start: Start, look: Start, share: Any, environment: Environment, make_flag: Callable[..., FlagConfig]
) -> None:
    make_flag("second")
    plan = start(flags=[{"flagKey": "second", "variant": "treatment"}])
    assert (share(), share("second")) == (2000, 2000)
    # The second flag can no longer be written, so the first is not either.
    FlagConfig.objects.filter(flag__key="second").update(
        experiment={"id": "x", "ranges": [[0, 10_000]], "audience": None}
    )
    held = look(plan, days=1)
    assert (held.state, share(), share("second")) == ("held", 2000, 2000)


def test_rollback__of_a_completed_plan__whose_flag_has_another__is_refused(
    start: Start, environment: Environment, make_flag: Callable[..., FlagConfig]
) -> None:
    make_flag("second")
    start([{"percent": 50}], flags=[{"flagKey": "second", "variant": "treatment"}])
    later = {"variant": "treatment", "steps": [{"percent": 60}]}
    services.save_plan(actor=ALICE, environment=environment, key="second", payload=later)
    with pytest.raises(Conflict) as refused:
        _act(services.rollback_plan, environment)
    assert refused.value.problems[0].code == "rollout_in_progress"


def test_resume__after_a_rollback_from_the_end__is_at_the_end_again(
    start: Start, share: Any, environment: Environment
) -> None:
    assert start([{"percent": 50}]).state == "completed"
    assert (_act(services.rollback_plan, environment).state, share()) == ("rolled_back", 1000)
    assert (_act(services.resume_plan, environment).state, share()) == ("completed", 5000)
    # The share belongs to people again.
    update_flag(actor=ALICE, environment=environment, key=KEY, payload={"rollout": []}, version=None)


def test_rule__with_a_variant__is_raised_in_its_own_rollout(
    make_flag: Callable[..., FlagConfig], start: Start, environment: Environment
) -> None:
    config = make_flag("ruled", rules=[{"priority": 1, "conditions": [], "variant": "control"}])
    rule = config.rules.get()
    start(key="ruled", ruleId=str(rule.pk))
    rule.refresh_from_db()
    assert rule.allocation == [[0, 8000, "control"], [8000, 10_000, "treatment"]]
    _act(services.rollback_plan, environment, "ruled")
    rule.refresh_from_db()
    assert (rule.variant, rule.allocation) == ("control", [])


@pytest.mark.parametrize(
    ("payload", "attr"),
    [
        ({"steps": []}, "steps"),
        ({"steps": [{"percent": 0}]}, "steps[0].percent"),
        ({"steps": [{"percent": 10.001}]}, "steps[0].percent"),
        ({"steps": [{"percent": 20}, {"percent": 50}]}, "steps[1]"),
        ({"steps": [{"percent": 20}, {"percent": 20, "after": "P1D"}]}, "steps[1].percent"),
        ({"steps": [{"percent": 20, "after": "P1M"}]}, "steps[0].after"),
        ({"steps": [{"percent": 20, "at": "2027-01-01T00:00:00"}]}, "steps[0].at"),
        ({"steps": [{"percent": 20, "wait": 1}]}, "steps[0].wait"),
        ({"steps": [{"percent": 20, "minimumUsers": 5}]}, "steps[0].minimumUsers"),
        (
            {"steps": [{"percent": 20, "guardrails": [{"metric": "no", "marginPercent": 1, "action": "hold"}]}]},
            "steps[0].guardrails[0].metric",
        ),
        (
            {"steps": [{"percent": 20, "guardrails": [{"metric": "seen", "marginPercent": 1, "action": "hold"}]}]},
            "steps[0].guardrails",
        ),
        ({"variant": "none"}, "variant"),
        ({"ruleId": "01234567-0123-7123-8123-012345678901"}, "ruleId"),
        ({"template": "no", "steps": None}, "template"),
        ({"then": "make_permanent", "steps": [{"percent": 20}]}, "then"),
        ({"afterEnvironment": {"environment": "production"}}, "afterEnvironment.environment"),
        ({"flags": [{"flagKey": KEY, "variant": "treatment"}]}, "flags[0].flagKey"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_save__bad_input__names_the_field(payload: dict[str, Any], attr: str, environment: Environment) -> None:
    metric = {"key": "seen", "type": "binary", "eventName": "seen"}
    experiment_services.create_metric(actor=ALICE, environment=environment, payload=metric)
    content = {"variant": "treatment", "steps": [{"percent": 20}], **payload}
    with pytest.raises(Invalid) as refused:
        services.save_plan(actor=ALICE, environment=environment, key=KEY, payload=content)
    assert refused.value.problems[0].attr == attr


def test_templates__built_in__make_valid_plans(environment: Environment) -> None:
    for template in ("daily", "hourly", "careful"):
        plan, _ = services.save_plan(
            actor=ALICE,
            environment=environment,
            key=KEY,
            payload={"variant": "treatment", "template": template, "version": None},
        )
        assert plan.template == template
        services.delete_plan(actor=ALICE, environment=environment, key=KEY)
