"""What somebody saw of a plan before acting on it: an act may be bound to the plan's version."""

from rollouts.documents import plan_resource
from rollouts.models import RolloutPlan
from tenancy.refusals import refuse_stale


def refuse_other_version(plan: RolloutPlan, key: str, version: int | None) -> None:
    """Raise Conflict `version_conflict`, with the plan as the flag `key` sees it, unless it is at `version`.

    None skips it. Each step, hold and edit makes a new version; what a worker only looks at makes none.
    """
    if version is None or version == plan.version:
        return
    part = next((row for row in plan.parts.all() if row.config.flag.key == key), None)
    refuse_stale("rollout plan", plan_resource(plan, part), version)
