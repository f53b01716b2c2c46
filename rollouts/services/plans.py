"""Making, changing, deleting and starting a plan."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

import audit.services
from audit.actors import Actor
from experiments.models import Metric
from flags.documents import basis_points_of, flag_document
from flags.models import FlagConfig
from flags.selectors import get_config
from flags.services import Served, gate, served_of, version_log
from rollouts.clock import database_now
from rollouts.documents import PLAN_FIELDS, PLAN_SHOWN, plan_file, plan_resource
from rollouts.models import RolloutPart, RolloutPlan
from rollouts.planner import Plan, due
from rollouts.planning.durations import parse_duration
from rollouts.planning.ladder import Ranges, rungs, share_of
from rollouts.planning.plan_fields import read_steps
from rollouts.selectors import get_plan, open_part, plans, template_steps
from rollouts.services.asking import ask_about
from rollouts.services.conflicts import in_progress, leaves_over, note, record_events
from rollouts.services.seen import refuse_other_version
from rollouts.services.stepping import approvals_of, look, planned
from tenancy.errors import Conflict, Invalid, Problem
from tenancy.models import Environment
from tenancy.refusals import refuse_if_any, refuse_read_only, refuse_stale, refuse_unknown, unknown_fields

_State = RolloutPlan.State
MOST_FLAGS = 20
_FULL = 10_000


@transaction.atomic
def save_plan(
    *, actor: Actor, environment: Environment, key: str, payload: Mapping[str, Any], version: int | None = None
) -> tuple[RolloutPlan, bool]:
    """Make the flag's plan, or replace the one that is not started, by its version. Return it and whether it is new.

    Raises Invalid, NotFound, Conflict `rollout_in_progress` where one was started, and `version_conflict`.
    """
    environments = version_log.lock_project(environment.project)
    config = get_config(environments[environment.pk], key)
    existing = open_part(config)
    refuse_unknown(payload, (*PLAN_FIELDS, *PLAN_SHOWN, "version"))
    before = None
    if existing is not None:
        if existing.plan.state != _State.DRAFT:
            raise in_progress(existing)
        there = get_plan(environment, key)
        before = plan_resource(there)
        if version is None and is_same(there, payload):
            return there, False
        if version is None:
            raise Invalid(
                "There is a plan already. Send the version that you read, so that nobody's change is overwritten.",
                attr="version",
                code="required",
            )
        refuse_stale("rollout plan", before, version)
    # The share of a plan that is not started is the flag's, which may have changed since it was read.
    refuse_read_only(payload, before or {}, dict.fromkeys(set(PLAN_SHOWN) - {"percent"}, ""))
    steps, template = _steps(environment, payload)
    wanted = _parts(environments[environment.pk], key, payload)
    then = payload.get("then") or ""
    refuse_if_any(_end_problems(then, steps) + _metric_problems(environment, steps) + _watch_problems(steps))
    plan = existing.plan if existing else RolloutPlan(environment=environments[environment.pk])
    plan.steps, plan.template, plan.then = steps, template, then
    plan.after_environment = _after_environment(environment, payload.get("afterEnvironment"))
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
            "One of the flags has another plan that is not at its end.", code="rollout_in_progress", attr="flags"
        ) from error
    saved = plans(environment).get(pk=plan.pk)
    audit.services.record(
        actor=actor, action="rollout_plan.saved", at=environment, key=key, before=before, after=plan_resource(saved)
    )
    return saved, existing is None


def is_same(plan: RolloutPlan, payload: Mapping[str, Any]) -> bool:
    """Whether it is the plan's content, as a file has it."""
    there = plan_file(plan)
    return {"flagKey": there["flagKey"]} | {name: value for name, value in payload.items() if value} == there


@transaction.atomic
def delete_plan(*, actor: Actor, environment: Environment, key: str, reason: str = "") -> None:
    """Delete a plan that is not started. Raises NotFound, Conflict `rollout_in_progress`."""
    version_log.lock_project(environment.project)
    plan = get_plan(environment, key)
    part = next(row for row in plan.parts.all() if row.config.flag.key == key)
    if plan.state != _State.DRAFT:
        if plan.is_open:
            raise in_progress(part)
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
    served = _served(config, part.variant, part.rule_id)
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


def _served(config: FlagConfig, variant: str, rule_id: UUID | None, path: str = "") -> Served:
    """What the plan will raise a share in. Raises Invalid for an unknown variant or rule, and for the default variant.

    Asked when the plan is saved, and again when it is started.
    """
    known = [item["key"] for item in config.flag.variants]
    if variant not in known:
        raise Invalid(
            f"{config.flag.key!r} has no variant {variant!r}; use one of: {', '.join(known)}.",
            attr=f"{path}variant",
            code="unknown_variant",
        )
    served = served_of(config, list(config.rules.all()), rule_id)
    if served is None:
        raise Invalid(f"{config.flag.key!r} has no rule with that id.", attr=f"{path}ruleId", code="unknown_rule")
    if rule_id is None and config.default_variant == variant and leaves_over(served):
        raise Invalid(
            f"{variant!r} is the default variant, which whoever no share reaches gets already. Make another one the "
            "default first.",
            attr=f"{path}variant",
            code="is_default",
        )
    return served


# -- What was sent --------------------------------------------------------------------------------------------------


def _steps(environment: Environment, payload: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """The steps, and the template they came from. Steps that are sent beside a template stand before its own."""
    template = payload.get("template") or ""
    if not isinstance(template, str):
        raise Invalid("Name the template by its key.", attr="template", code="invalid_type")
    found = template_steps(environment.project.organization, template) if template else None
    if template and found is None:
        raise Invalid(f"There is no template {template!r}.", attr="template", code="unknown_template")
    sent = payload.get("steps") or found
    if not sent:
        raise Invalid("Send the steps, or name a template.", attr="steps", code="required")
    steps, problems = read_steps(sent)
    refuse_if_any(problems)
    return steps, template


def _parts(environment: Environment, key: str, payload: Mapping[str, Any]) -> list[tuple[FlagConfig, str, UUID | None]]:
    listed = payload.get("flags") or []
    if not isinstance(listed, list) or not all(isinstance(item, Mapping) for item in listed):
        raise Invalid("Send a list of {flagKey, variant, ruleId}.", attr="flags", code="invalid_type")
    if len(listed) >= MOST_FLAGS:
        raise Invalid(f"A plan has at most {MOST_FLAGS} flags.", attr="flags", code="max_length")
    found = [_part(environment, key, payload, "")]
    for index, item in enumerate(listed):
        path = f"flags[{index}]"
        refuse_if_any(unknown_fields(item, ("flagKey", "variant", "ruleId"), within=path))
        found.append(_part(environment, item.get("flagKey") or "", item, f"{path}."))
        if any(found[-1][0].pk == other[0].pk for other in found[:-1]):
            raise Invalid("This flag is in the plan already.", attr=f"{path}.flagKey", code="duplicate")
    return found


def _part(
    environment: Environment, key: str, sent: Mapping[str, Any], path: str
) -> tuple[FlagConfig, str, UUID | None]:
    config = get_config(environment, key)
    variant = sent.get("variant") or ""
    if not isinstance(variant, str) or not variant:
        raise Invalid("Name the variant whose share is raised.", attr=f"{path}variant", code="required")
    rule_id = sent.get("ruleId")
    try:
        rule = UUID(str(rule_id)) if rule_id else None
    except ValueError as error:
        raise Invalid("Send the rule's id.", attr=f"{path}ruleId", code="invalid") from error
    _served(config, variant, rule, path)
    return config, variant, rule


def _end_problems(then: Any, steps: list[dict[str, Any]]) -> list[Problem]:
    if then not in RolloutPlan.Then.values:
        return [Problem("then", "invalid_choice", "Send make_permanent, or leave it out.")]
    if then and (basis_points_of(steps[-1]["percent"]) or 0) < _FULL:
        return [Problem("then", "invalid", "Only a share of 100 % is made permanent; let the last step reach it.")]
    return []


def _watch_problems(steps: list[dict[str, Any]]) -> list[Problem]:
    """A guardrail is read on the step before it and on its own; a plan's only step is its end, so it never is."""
    if len(steps) > 1 or "guardrails" not in steps[0]:
        return []
    remedy = "A plan ends with its last step, so nothing would be watched; put a smaller step before it."
    return [Problem("steps[0].guardrails", "invalid", remedy)]


def _metric_problems(environment: Environment, steps: list[dict[str, Any]]) -> list[Problem]:
    known = set(Metric.objects.filter(project=environment.project_id).values_list("key", flat=True))
    return [
        Problem(
            f"steps[{index}].guardrails[{place}].metric",
            "unknown_metric",
            f"There is no metric {guardrail['metric']!r}.",
        )
        for index, step in enumerate(steps)
        for place, guardrail in enumerate(step.get("guardrails", ()))
        if guardrail["metric"] not in known
    ]


def _after_environment(environment: Environment, sent: Any) -> dict[str, Any] | None:
    """Where everybody has to have had the variant first, and for how long."""
    if sent is None:
        return None
    if not isinstance(sent, Mapping):
        raise Invalid("Send {environment, for}.", attr="afterEnvironment", code="invalid_type")
    refuse_if_any(unknown_fields(sent, ("environment", "for"), within="afterEnvironment"))
    others = Environment.objects.filter(project=environment.project_id).exclude(pk=environment.pk)
    known = sorted(others.values_list("key", flat=True))
    if sent.get("environment") not in known:
        raise Invalid(
            f"Name another environment of the project: {', '.join(known) or 'there is none'}.",
            attr="afterEnvironment.environment",
            code="unknown_environment",
        )
    text = sent.get("for") or "P1D"
    if not isinstance(text, str) or parse_duration(text) is None:
        raise Invalid("Give an ISO 8601 duration, such as P1D.", attr="afterEnvironment.for", code="invalid_duration")
    return {"environment": sent["environment"], "for": text}
