"""From an experiment to a release: the winner is shipped by a plan, in place of a jump to everybody."""

import re
from collections.abc import Mapping
from dataclasses import replace
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
from rollouts.selectors import open_part
from rollouts.services.plan_payload import steps_sent
from rollouts.services.plans import save_plan, start_plan
from tenancy.errors import Conflict, Invalid
from tenancy.models import Environment

_FULL: Final = 10_000
_STEP: Final = re.compile(r"\Asteps\[(\d+)\]")


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
    listed, _ = steps_sent(environment, payload)
    steps = [step for step in listed if (basis_points_of(step["percent"]) or 0) > there]
    if not steps:
        raise Conflict(f"{variant!r} has {there / 100:g} % already; let the steps go above it.", code="share_reached")
    if len(steps) < len(listed):
        # Of the first step nobody can ask for users of the step before, which is left out.
        steps[0] = {name: value for name, value in steps[0].items() if name != "minimumUsers"}
    plan = {"variant": variant, "steps": steps, "then": payload.get("then")}
    try:
        save_plan(actor=actor, environment=environment, key=key, payload=plan)
        why = f"Won the experiment {experiment.name}"
        return start_plan(actor=actor, environment=environment, key=key, reason=why)
    except Invalid as error:
        left_out = len(listed) - len(steps)
        raise Invalid([replace(found, attr=_as_sent(found.attr, left_out)) for found in error.problems]) from error


def _as_sent(attr: str | None, left_out: int) -> str | None:
    """The field as the caller knows it, who has also sent the first steps, which are left out."""
    return attr and _STEP.sub(lambda found: f"steps[{int(found[1]) + left_out}]", attr)
