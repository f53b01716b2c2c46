"""Steps of many plans of one environment in one write, with as many queries as for one plan.

It takes what time alone decides. Whatever else is asked, and whatever is refused, is for `stepping`, plan by plan.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from django.db.models import Value, prefetch_related_objects
from django.db.models.functions import Greatest

import audit.services
from audit.actors import Actor
from flags.services import Served, Share, gate, set_shares
from rollouts.models import RolloutPart, RolloutPlan
from rollouts.planner import State, due
from rollouts.services.conflicts import writing_together
from rollouts.services.stepping import approvals_of, enter, planned, told, was_kept_until, why
from tenancy.models import Environment

_WRITTEN: Final = (
    "state", "current_step", "entered_at", "written_at", "due_at", "next_step_at", "waits_for", "waits_because",
    "verdicts", "history", "version", "updated_at",
)  # fmt: skip


def take_together(
    *, actor: Actor, environment: Environment, plans: Sequence[RolloutPlan], now: datetime
) -> list[RolloutPlan]:
    """Take the steps that are due of those plans that wait for nothing but time; return these plans.

    The caller holds the locks of the environment and of the plans' rows. Raises what a write to a flag raises; then
    nothing is written.
    """
    if gate.frozen(environment, now) is not None:
        return []
    prefetch_related_objects(plans, "parts__config__flag")
    states = {plan.pk: state for plan in plans if (state := _plain_step(plan, environment, now)) is not None}
    taken = [plan for plan in plans if plan.pk in states]
    parts = {plan.pk: sorted(plan.parts.all(), key=lambda part: part.position) for plan in taken}
    if not taken:
        return []
    every = [part for plan in taken for part in parts[plan.pk]]
    with writing_together(every):
        shares = [_share(plan, part, states[plan.pk]) for plan in taken for part in parts[plan.pk]]
        set_shares(actor=actor, environment=environment, shares=shares)
    events, ended = [], []
    for plan in taken:
        enter(plan, states[plan.pk], now)
        plan.updated_at = now
        events += told(plan, parts[plan.pk], states[plan.pk])
        if plan.finished_at is not None:
            ended.append(plan.pk)
            # An insert gives the row another time of its making, and this one may not be before that.
            plan.finished_at = None
    # All of them are there: this updates, and costs less than `bulk_update`.
    RolloutPlan.objects.bulk_create(taken, update_conflicts=True, unique_fields=["id"], update_fields=_WRITTEN)
    if ended:
        RolloutPlan.objects.filter(pk__in=ended).update(finished_at=Greatest("created_at", Value(now)))
        RolloutPart.objects.filter(plan__in=ended).update(is_open=False)
    audit.services.record_each(actor=actor, at=environment, acts=events)
    return taken


def _share(plan: RolloutPlan, part: RolloutPart, state: State) -> Share:
    return Share(part.config.flag.key, part.rule_id, Served(part.rungs[state.step - 1]), why(plan, state.step))


def _plain_step(plan: RolloutPlan, environment: Environment, now: datetime) -> State | None:
    """The step that the plan takes, unless it makes the variant permanent or a flag stands in the way."""
    state = due(planned(plan, was_kept_until(plan, now)), now, approvals_of(plan), None)
    parts = plan.parts.all()
    here = all(part.config.environment_id == environment.pk and part.config.is_enabled for part in parts)
    is_permanent = state.is_complete and plan.then == RolloutPlan.Then.MAKE_PERMANENT
    return state if state.passed and not is_permanent and state.act is None and here else None
