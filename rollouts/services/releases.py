"""From an experiment to a release: the winner is shipped by a plan, in place of a jump to everybody."""

from collections.abc import Mapping
from typing import Any, Final

from django.db import transaction

from audit.actors import Actor
from experiments.models import Experiment
from experiments.selectors import get_experiment
from experiments.services import complete_experiment
from flags.documents import basis_points_of
from flags.selectors import get_config
from flags.services import Served, gate, set_share
from rollouts.models import RolloutPlan
from rollouts.planning.ladder import share_of
from rollouts.selectors import open_part, template_steps
from rollouts.services.plans import save_plan, start_plan
from tenancy.errors import Conflict
from tenancy.models import Environment

_FULL: Final = 10_000


@gate.act("experiment.release")
@transaction.atomic
def release_winner(*, actor: Actor, environment: Environment, pk: str, payload: Mapping[str, Any]) -> RolloutPlan:
    """Complete the experiment with `ship`, and start a plan that raises the variant from where the experiment had it.

    It is asked about as one change, from what is served now to what the plan ends with. Raises what
    `complete_experiment`, `save_plan` and `start_plan` raise, and Conflict `rollout_in_progress` where the flag has a
    plan that is not started; then nothing of it is done.
    """
    experiment = get_experiment(environment, pk)
    other = open_part(experiment.config)
    if other is not None and other.plan.state == RolloutPlan.State.DRAFT:
        key = experiment.config.flag.key
        raise Conflict(f"{key!r} has a plan that is not started; delete it first.", code="rollout_in_progress")
    with gate.together(actor):
        return _release(actor, environment, experiment, payload)


def _release(actor: Actor, environment: Environment, experiment: Experiment, payload: Mapping[str, Any]) -> RolloutPlan:
    key, variant = experiment.config.flag.key, str(payload.get("variant") or "")
    complete_experiment(
        actor=actor,
        environment=environment,
        pk=experiment.pk,
        decision=Experiment.Decision.SHIP,
        variant=variant,
        version=payload.get("version"),
        reason=payload.get("reason", ""),
        is_in_steps=True,
    )
    if experiment.owns_split and experiment.traffic_bp == _FULL and experiment.audience is None:
        # Those who took part keep what they have: the buckets are the flag's own.
        set_share(
            actor=actor,
            environment=environment,
            key=key,
            rule_id=None,
            served=Served(experiment.allocation or []),
            reason=f"The split of the experiment {experiment.name}",
        )
    there = share_of(get_config(environment, key).allocation, variant)
    listed = (
        payload.get("steps") or template_steps(environment.project.organization, payload.get("template") or "") or []
    )
    steps = [step for step in listed if (basis_points_of(step.get("percent")) or _FULL) > there]
    if listed and not steps:
        raise Conflict(f"{variant!r} has {there / 100:g} % already; let the steps go above it.", code="share_reached")
    plan = {"variant": variant, "steps": steps, "then": payload.get("then")}
    save_plan(actor=actor, environment=environment, key=key, payload=plan)
    return start_plan(actor=actor, environment=environment, key=key, reason=f"Won the experiment {experiment.name}")
