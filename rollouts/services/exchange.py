"""Plans in a file: what an export carries of them, and how an import puts them in."""

from typing import Any

from audit.actors import Actor
from rollouts.documents import PLAN_FIELDS, plan_export
from rollouts.models import RolloutPlan
from rollouts.selectors import plans
from rollouts.services.plans import is_same, save_plan
from tenancy.errors import Conflict
from tenancy.models import Environment

NAME, ENTITY = "rolloutPlans", "rollout plan"


def exported(environment: Environment) -> list[Any]:
    """The plans that are not at their end; in another environment they begin anew, and are not started."""
    return [plan_export(plan) for plan in plans(environment).filter(state__in=RolloutPlan.OPEN).order_by("pk")]


def put(actor: Actor, environment: Environment, item: dict[str, Any], *, keeps_existing: bool) -> str:
    """Save the plan of the flag `key`. One that is there already with the same content stays. Raises as `save_plan`."""
    sent = {name: item[name] for name in PLAN_FIELDS if name in item}
    found = plans(environment).filter(parts__config__flag__key=item["key"], parts__is_open=True).first()
    if found is not None and keeps_existing:
        return "kept"
    if found is not None:
        if is_same(found, {"flagKey": item["key"], **sent}):
            return "unchanged"
        if found.state != RolloutPlan.State.DRAFT:
            raise Conflict(
                "A plan is at work on this flag here; cancel it first.", code="rollout_in_progress", attr="key"
            )
    version = found.version if found is not None else None
    save_plan(actor=actor, environment=environment, key=item["key"], payload=sent, version=version)
    return "created" if found is None else "updated"
