"""What the pages of rollouts show in the tests of pages: plans, a scheduled change, a trigger, states of forms."""

from typing import Any

from flags.services import create_flag
from rollouts import selectors, services
from tenancy.callers.principals import principal_of_user
from tenancy.models import Environment, User
from tenancy.testing import ALICE

_ADD, _FLAG = "admin:rollouts_rolloutplan_add", "admin:flags_flagconfig_change"
_RELEASE = "admin:rollouts_rolloutplan_release"


def rollout_subjects(environment: Environment, person: User) -> dict[str, Any]:
    """A plan that runs on `stepped`, one that is held, one on `plain` that is not started, and the rest."""
    guardrail = {"metric": "purchase-rate", "marginPercent": 5, "action": "rollback"}
    steps = [{"percent": 10, "guardrails": [guardrail]}, {"percent": 100, "after": "P1D", "approval": True}]
    plan: dict[str, Any] = {"variant": "treatment", "steps": steps}
    services.save_plan(actor=ALICE, environment=environment, key="stepped", payload=plan)
    stepped = services.start_plan(actor=ALICE, environment=environment, key="stepped")
    line = {"flagKey": "stepped", "metric": "purchase-rate", "outcome": "holds", "detail": "It holds."}
    users = {"rest": {"users": 9}, "treated": {"users": 1}}
    stepped.verdicts = [{**line, "difference": 0.1, "interval": [-0.1, 0.2], **users}]
    stepped.save()
    plan["steps"] = [{"percent": 70}]
    services.save_plan(actor=ALICE, environment=environment, key="plain", payload=plan)
    plan["steps"] = [{"percent": 70}, {"percent": 80, "approval": True}]
    create_flag(actor=ALICE, environment=environment, payload={"key": "resting", "enabled": True})
    services.save_plan(actor=ALICE, environment=environment, key="resting", payload=plan)
    services.start_plan(actor=ALICE, environment=environment, key="resting")
    later = {"resource": {"type": "flag", "key": "stepped"}, "patch": {"enabled": False}, "cron": "0 8 * * *"}
    change = services.schedule_change(
        principal=principal_of_user(person), environment=environment, payload={**later, "baseVersion": 2}
    )
    wanted = {"name": "errors", "flagKey": "stepped", "act": "hold_plan"}
    return {
        "rollouts_rolloutplan": stepped,
        "resting": services.hold_plan(actor=ALICE, environment=environment, key="resting"),
        "planned": selectors.get_plan(environment, "plain"),
        "rollouts_scheduledchange": change,
        "rollouts_trigger": services.create_trigger(actor=ALICE, environment=environment, payload=wanted).trigger,
    }


def rollout_states() -> list[tuple[Any, ...]]:
    """As `State` takes them."""
    flag = {"flag": "changed"}
    return [
        ("a flag rolled out in steps", _ADD, "", flag),
        ("steps that are proposed for a share", _ADD, "", {**flag, "propose": "1"}),
        ("a winner released in steps", _RELEASE, "", {"experiment": "on-held"}),
        ("steps that are not understood", _ADD, "", flag, _sent(steps="ten percent"), 422),
        ("a change made later", "admin:rollouts_scheduledchange_add", "", flag),
        ("a flag saved in steps", _FLAG, "dependent", {}, _sent(document=_MORE, save_as="steps")),
        (
            "a flag saved at a time",
            _FLAG,
            "dependent",
            {},
            _sent(document=_OTHER, save_as="later"),
        ),
    ]


_OTHER = '{"offVariant": "treatment"}'
_MORE = '{"rollout": [{"variant": "treatment", "percent": 90}]}'


def _sent(**values: str) -> Any:
    return lambda _world: values
