"""Making, changing, deleting and starting a plan."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

import audit.services
from audit.actors import Actor
from flags.documents import basis_points_of, flag_document
from flags.models import FlagConfig
from flags.selectors import get_config
from flags.services import gate, version_log
from rollouts.clock import database_now
from rollouts.documents import PLAN_FIELDS, PLAN_SHOWN, plan_resource
from rollouts.models import RolloutPart, RolloutPlan
from rollouts.planner import Plan, due
from rollouts.planning.ladder import Ranges, rungs, share_of
from rollouts.selectors import get_plan, open_part, plans
from rollouts.services.asking import ask_about
from rollouts.services.conflicts import in_progress, note, record_events, refuse_other_version
from rollouts.services.plan_payload import (
    after_environment_sent,
    end_problems,
    is_same,
    metric_problems,
    parts_sent,
    raised_in,
    steps_sent,
    watch_problems,
)
from rollouts.services.stepping import approvals_of, look, planned
from tenancy.errors import Conflict, Invalid, Problem
from tenancy.models import Environment
from tenancy.refusals import refuse_if_any, refuse_read_only, refuse_stale, refuse_unknown

_State = RolloutPlan.State
# What changes by itself while the plan stands where it was read.
_MOVING = {"percent", "nextStepAt", "nextDueAt", "waitingFor", "guardrails", "updatedAt"}
_FULL = 10_000


@transaction.atomic
def save_plan(
    *,
    actor: Actor,
    environment: Environment,
    key: str,
    payload: Mapping[str, Any],
    version: int | None = None,
    reason: str = "",
) -> tuple[RolloutPlan, bool]:
    """Make the flag's plan, or replace the one that is not started, by its version. Return it and whether it is new.

    Of the content that is there already nothing is written, whatever the plan's state. Raises Invalid, NotFound,
    Conflict `rollout_in_progress` where one was started, and `version_conflict`.
    """
    environments = version_log.lock_project(environment.project)
    config = get_config(environments[environment.pk], key)
    existing = open_part(config)
    refuse_unknown(payload, (*PLAN_FIELDS, *PLAN_SHOWN, "version"))
    before, same = None, False
    if existing is not None:
        there = get_plan(environment, key)
        part = _part_of(there, key)
        before, same = plan_resource(there, part), is_same(there, part, payload)
        if existing.plan.state != _State.DRAFT and not same:
            raise in_progress(existing, remedy="Cancel it first, then save another one; the share stays as it is.")
        if version is None and not same:
            raise Invalid(
                "There is a plan already. Send the version that you read, so that nobody's change is overwritten.",
                attr="version",
                code="required",
            )
        refuse_stale("rollout plan", before, version)
    refuse_read_only(payload, before or {"flagKey": key}, dict.fromkeys(set(PLAN_SHOWN) - _MOVING, ""))
    if same:
        return there, False
    steps, template = steps_sent(environment, payload)
    wanted = parts_sent(environments[environment.pk], key, payload)
    then = payload.get("then") or ""
    refuse_if_any(end_problems(then, steps) + metric_problems(environment, steps) + watch_problems(steps))
    plan = existing.plan if existing else RolloutPlan(environment=environments[environment.pk])
    plan.steps, plan.template, plan.then = steps, template, then
    plan.after_environment = after_environment_sent(environment, payload.get("afterEnvironment"))
    plan.version += 1 if existing else 0
    plan.save()
    plan.parts.all().delete()
    try:
        with transaction.atomic():
            RolloutPart.objects.bulk_create(
                RolloutPart(plan=plan, config=each, position=position, variant=variant, rule_id=rule_id)
                for position, (each, variant, rule_id) in enumerate(wanted)
            )
    except IntegrityError as error:
        raise Conflict(
            "One of the flags has another plan that is not at its end; cancel that one first.",
            code="rollout_in_progress",
            attr="flags",
        ) from error
    saved = plans(environment).get(pk=plan.pk)
    audit.services.record(
        actor=actor,
        action="rollout_plan.saved",
        at=environment,
        key=key,
        before=before,
        after=plan_resource(saved),
        reason=reason,
    )
    return saved, existing is None


def _part_of(plan: RolloutPlan, key: str) -> RolloutPart:
    return next(row for row in plan.parts.all() if row.config.flag.key == key)


@transaction.atomic
def delete_plan(*, actor: Actor, environment: Environment, key: str, reason: str = "") -> None:
    """Delete a plan that is not started. Raises NotFound, Conflict `rollout_in_progress`."""
    version_log.lock_project(environment.project)
    plan = get_plan(environment, key)
    if plan.state != _State.DRAFT:
        if plan.is_open:
            remedy = "Only one that is not started is deleted; cancel this one, and the share stays as it is."
            raise in_progress(_part_of(plan, key), remedy=remedy)
        raise Conflict("The plan is at its end and is history; there is nothing to delete.", code="rollout_finished")
    audit.services.record(
        actor=actor, action="rollout_plan.deleted", at=environment, key=key, before=plan_resource(plan), reason=reason
    )
    plan.delete()


@gate.act("rollout_plan.start")
@transaction.atomic
def start_plan(
    *, actor: Actor, environment: Environment, key: str, reason: str = "", version: int | None = None
) -> RolloutPlan:
    """Take the anchor and begin; a first step that waits for nothing is taken at once.

    Raises NotFound, Conflict `version_conflict`, `rollout_conflict` where an experiment runs, `flag_killed`,
    `flag_off`, `flag_archived`, and Invalid where an instant has passed, so that the start would take more than the
    first step.
    """
    environments = version_log.lock_project(environment.project)
    plan = RolloutPlan.objects.select_for_update(of=("self",)).get(pk=get_plan(environment, key).pk)
    refuse_other_version(plan, key, version)
    if plan.state != _State.DRAFT:
        raise Conflict("The plan was started already." if plan.is_open else "The plan is at its end; make another one.",
                       code="rollout_in_progress")  # fmt: skip
    now = database_now()
    refuse_if_any(_leap_problems(plan, now))
    plan.environment = environments[environment.pk]
    since = plan.environment.config_version
    for part in plan.parts.select_related("config__flag"):
        config = get_config(plan.environment, part.config.flag.key)
        _refuse_unfit(config)
        part.config = config
        part.anchor, part.anchor_version = flag_document(config), config.version
        part.rungs = _rungs(config, part, plan.steps)
        part.save()
    plan.state, plan.started_at, plan.entered_at, plan.written_at = _State.RUNNING, now, now, now
    plan.started_by, plan.due_at = actor.label, now
    plan.version += 1
    note(plan, "started", reason)
    plan.save()
    record_events(actor, plan, "flag.rollout_scheduled", reason)
    with gate.together(actor):
        look(actor=actor, plan=plan, environments=environments, now=now)
        ask_about(actor, plan, since=since)
    return plans(environment).get(pk=plan.pk)


def _leap_problems(plan: RolloutPlan, now: datetime) -> list[Problem]:
    """The steps after the first that the start would take because their instants have passed."""
    taken = due(Plan(planned(plan).steps, 0, now), now, approvals_of(plan), None).passed
    remedy = (
        "This instant has passed, so the start would go past the steps before it. Give one to come, or leave it out."
    )
    return [
        Problem(f"steps[{step.number - 1}].at", "out_of_range", remedy)
        for step in taken[1:]
        if "at" in plan.steps[step.number - 1]
    ]


def _refuse_unfit(config: FlagConfig) -> None:
    key = config.flag.key
    if config.flag.is_archived:
        raise Conflict(f"{key!r} is archived; restore it first.", code="flag_archived", attr="flagKey")
    if config.experiment:
        raise Conflict(
            f"An experiment is running on {key!r}; complete it first.", code="rollout_conflict", attr="flagKey"
        )
    if config.is_killed:
        raise Conflict(f"{key!r} is killed; release the kill switch first.", code="flag_killed", attr="flagKey")
    if not config.is_enabled:
        raise Conflict(
            f"{key!r} is off, so nobody would get the share; switch it on first.", code="flag_off", attr="flagKey"
        )


def _rungs(config: FlagConfig, part: RolloutPart, steps: list[dict[str, Any]]) -> list[Ranges]:
    """The ranges of each step, from what is served now. Raises Conflict where that leaves nothing to raise."""
    served = raised_in(config, part.variant, part.rule_id)
    order = [variant["key"] for variant in config.flag.variants]
    before = [[0, _FULL, served.variant]] if served.variant else served.ranges
    first = basis_points_of(steps[0]["percent"]) or 0
    if share_of(before, part.variant) >= first:
        share = share_of(before, part.variant) / 100
        raise Conflict(
            f"{part.variant!r} has {share:g} % of {config.flag.key!r} already; begin above it.",
            code="share_reached",
            attr="steps[0].percent",
        )
    return rungs(before, part.variant, [basis_points_of(step["percent"]) or 0 for step in steps], order)
