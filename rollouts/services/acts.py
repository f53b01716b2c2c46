"""What people and triggers do with a plan: hold, resume, advance, roll back, cancel."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import transaction

from audit.actors import Actor
from flags.models import FlagConfig
from flags.selectors import get_config
from flags.services import gate, served_of, version_log
from rollouts.clock import database_now
from rollouts.documents import text_of
from rollouts.models import RolloutPart, RolloutPlan
from rollouts.planner import Outcome, Passed, Plan, State, due
from rollouts.selectors import get_plan, open_part, plans
from rollouts.services.asking import ask_about
from rollouts.services.conflicts import (
    gone_variants,
    in_progress,
    is_dealt_alike,
    is_given_by_default,
    note,
    record_events,
    refuse_given_by_default,
    refuse_other_version,
    served_by,
    stop,
)
from rollouts.services.stepping import approvals_of, keep_verdicts, look, planned, put_back, take_steps, write_rung
from tenancy.errors import Conflict
from tenancy.models import Environment

_State = RolloutPlan.State
Locked = Mapping[int, Environment]


def _locked(
    environment: Environment, key: str, act: str, *allowed: RolloutPlan.State, version: int | None
) -> tuple[RolloutPlan, Locked]:
    """The plan with its locks, in one of the states.

    `version` is the plan's that somebody saw; None: whichever there is. Raises NotFound, Conflict `version_conflict`,
    `rollout_state`.
    """
    environments = version_log.lock_project(environment.project)
    found = get_plan(environment, key)
    plan = RolloutPlan.objects.select_for_update(of=("self",)).get(pk=found.pk)
    plan.environment = environments[environment.pk]
    refuse_other_version(plan, key, version)
    if plan.state not in allowed:
        wanted = " or ".join(state.label.lower() for state in allowed)
        raise Conflict(
            f"The plan is {plan.get_state_display().lower()}; only one that is {wanted} can {act}.",
            code="rollout_state",
            attr="state",
        )
    return plan, environments


@transaction.atomic
def hold_plan(
    *, actor: Actor, environment: Environment, key: str, reason: str = "", version: int | None = None
) -> RolloutPlan:
    """Stay at the present step: everybody keeps what they have."""
    plan, _ = _locked(environment, key, "be held", _State.RUNNING, _State.HELD, version=version)
    stop(actor, plan, _State.HELD, reason or f"Held by {actor.label}.")
    return plans(environment).get(pk=plan.pk)


@gate.act("rollout_plan.resume")
@transaction.atomic
def resume_plan(
    *, actor: Actor, environment: Environment, key: str, reason: str = "", version: int | None = None
) -> RolloutPlan:
    """Go on. After a rollback the same people get the variant again, and the step's time begins anew.

    After a hold the step's time goes on where it stopped. Raises Conflict `flag_killed`, and `share_changed` where
    somebody gave the share other ranges meanwhile, or made the plan's variant the default.
    """
    plan, environments = _locked(environment, key, "be resumed", _State.HELD, _State.ROLLED_BACK, version=version)
    since = plan.environment.config_version
    for part in plan.parts.select_related("config__flag"):
        config = get_config(plan.environment, part.config.flag.key)
        part.plan = plan
        if config.is_killed:
            raise Conflict(
                f"{config.flag.key!r} is killed; release the kill switch first.", code="flag_killed", attr="flagKey"
            )
        if is_given_by_default(part, config, served_by(part)):
            raise Conflict(
                f"{part.variant!r} was made the default variant of {config.flag.key!r} while the plan stood still, so "
                "people get it around the plan. Make another one the default first, or cancel the plan.",
                code="share_changed",
                attr="defaultVariant",
            )
        if gone := gone_variants(part, config.flag):
            raise Conflict(
                f"{config.flag.key!r} has no variant {gone[0]!r} any more, which the plan serves. Add it again, or "
                "cancel the plan.",
                code="share_changed",
                attr="variants",
            )
        if not (is_dealt_alike(part, config) and _serves(part, config)):
            raise Conflict(
                f"The share of {config.flag.key!r}, or how its users are dealt to it, was changed while the plan stood "
                "still, so the same people could not be kept. Cancel the plan, and make another one.",
                code="share_changed",
            )
    with gate.together(actor):
        _go_on(actor, plan, environments, reason)
        ask_about(actor, plan, since=since)
    return plans(environment).get(pk=plan.pk)


def _go_on(actor: Actor, plan: RolloutPlan, environments: Locked, reason: str) -> None:
    now = database_now()
    was_rolled_back = plan.state == _State.ROLLED_BACK
    if was_rolled_back and plan.current_step:
        write_rung(actor, plan, environments, plan.current_step, "Rollout plan resumed")
    plan.entered_at = _resumed_from(plan, now)
    keep_verdicts(plan)
    plan.state, plan.stopped_at, plan.written_at, plan.verdicts = _State.RUNNING, None, now, []
    plan.due_at, plan.waits_for, plan.waits_because = now, "", ""
    note(plan, "resumed", reason)
    plan.version += 1
    plan.save()
    record_events(actor, plan, "flag.rollout_resumed", reason)
    # A step that was due before, and something stood in its way, begins now.
    look(actor=actor, plan=plan, environments=environments, now=now, not_before=now)


def _resumed_from(plan: RolloutPlan, now: datetime) -> datetime:
    """Since when the present step's time counts, once the plan is resumed."""
    if plan.state == _State.ROLLED_BACK or plan.entered_at is None or plan.stopped_at is None:
        return now
    return plan.entered_at + max(now - plan.stopped_at, timedelta())


def step_reached(plan: RolloutPlan, act: str, now: datetime) -> int:
    """The step on which a `resume` or an `advance` leaves the plan: steps after it may be due already."""
    steps = planned(plan).steps
    if act == "advance":
        standing = Plan(steps, plan.current_step + 1, now)
    else:
        standing = Plan(steps, plan.current_step, _resumed_from(plan, now), now)
    return due(standing, now, approvals_of(plan), None).step


def _serves(part: RolloutPart, config: FlagConfig) -> bool:
    """Whether the flag serves there what the plan has put there."""
    return served_of(config, list(config.rules.all()), part.rule_id) == served_by(part)


@gate.act("rollout_plan.advance")
@transaction.atomic
def advance_plan(
    *, actor: Actor, environment: Environment, key: str, reason: str = "", version: int | None = None
) -> RolloutPlan:
    """Approve the next step and take it now, whatever it waits for; a violated guardrail alone is never passed.

    `version` binds it to the step that somebody saw. Raises Conflict `version_conflict`, `rollout_state`,
    `guardrail_violated`.
    """
    plan, environments = _locked(environment, key, "be advanced", _State.RUNNING, version=version)
    if any(found.get("outcome") == Outcome.VIOLATED for found in plan.verdicts):
        raise Conflict("A guardrail is violated; roll the plan back.", code="guardrail_violated")
    now, number = database_now(), plan.current_step + 1
    plan.approvals = {**plan.approvals, str(number): {"at": text_of(now), "by": actor.label}}
    note(plan, "advanced", reason, step=number)
    state = State(number, now, is_complete=number == len(plan.steps), passed=[Passed(number, now)])
    take_steps(actor=actor, plan=plan, environments=environments, state=state, now=now)
    if plan.state == _State.RUNNING:
        look(actor=actor, plan=plan, environments=environments, now=now)
    return plans(environment).get(pk=plan.pk)


@transaction.atomic
def rollback_plan(
    *, actor: Actor, environment: Environment, key: str, reason: str = "", version: int | None = None
) -> RolloutPlan:
    """Give people back what they had before the plan. A plan that was completed can be rolled back too.

    What others have put in the plan's place meanwhile stays, and nothing is rolled back. Of a plan at its end the gate
    is asked, as of any change. Raises Refused, Conflict `anchor_not_reached`, `share_changed`, `made_permanent`.
    """
    states = (_State.RUNNING, _State.HELD, _State.COMPLETED)
    plan, environments = _locked(environment, key, "be rolled back", *states, version=version)
    _refuse_overtaken(plan)
    name = "rollout_plan.rollback" if plan.state == _State.COMPLETED else "rollout_plan.rollback_at_work"
    with gate.acting(name, {"environment": environment, "key": key}), gate.together(actor):
        put_back(actor=actor, plan=plan, environments=environments, reason=reason or f"Rolled back by {actor.label}.")
    return plans(environment).get(pk=plan.pk)


def _refuse_overtaken(plan: RolloutPlan) -> None:
    is_over = plan.state == _State.COMPLETED
    if is_over and plan.then == RolloutPlan.Then.MAKE_PERMANENT:
        raise Conflict(
            "The plan has made the variant permanent. Go back to an earlier version in the flag's history.",
            code="made_permanent",
        )
    for part in plan.parts.select_related("config__flag"):
        part.plan = plan
        config = get_config(plan.environment, part.config.flag.key)
        if config.experiment:
            raise Conflict(
                f"An experiment is running on {config.flag.key!r}; complete it first.",
                code="rollout_conflict",
                attr="flagKey",
            )
        other = open_part(config)
        if other is not None and other.plan_id != plan.pk:
            raise in_progress(other, attr="flagKey", remedy="It came after this one; cancel it first.")
        if not _serves(part, config):
            raise Conflict(
                f"The share of {config.flag.key!r} was changed since the plan "
                f"{'completed' if is_over else 'was held'}. Go back to an earlier version in the flag's history.",
                code="share_changed",
            )
        if gone := gone_variants(part, config.flag, rolls_back=True):
            raise Conflict(
                f"{config.flag.key!r} has no variant {gone[0]!r} any more, which people had. Add it again first.",
                code="share_changed",
                attr="variants",
            )
        refuse_given_by_default(part, config, code="share_changed")


@transaction.atomic
def cancel_plan(
    *, actor: Actor, environment: Environment, key: str, reason: str = "", version: int | None = None
) -> RolloutPlan:
    """Give the plan up. The share stays as it is, and belongs to people again."""
    plan, _ = _locked(environment, key, "be cancelled", *(_State(state) for state in RolloutPlan.OPEN), version=version)
    stop(actor, plan, _State.CANCELLED, reason or f"Cancelled by {actor.label}.")
    return plans(environment).get(pk=plan.pk)
