"""What the API answers for plans, templates, scheduled changes and triggers. The audit log stores the same."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from openflagship.engine import BUCKETS

from flags.documents import percent_of
from flags.services import Served, served_of
from rollouts.models import RolloutPart, RolloutPlan, RolloutTemplate, ScheduledChange, Trigger
from rollouts.planning.ladder import share_of


def plan_resource(plan: RolloutPlan, part: RolloutPart | None = None) -> dict[str, Any]:
    """Return the plan as its flag `part` sees it: the first one, unless given. `flags` are those that go along."""
    parts = list(plan.parts.all())
    lead = part or parts[0]
    return {
        "id": str(plan.pk),
        "flagKey": lead.config.flag.key,
        "environment": plan.environment.key,
        "variant": lead.variant,
        "ruleId": str(lead.rule_id) if lead.rule_id else None,
        "flags": [
            {
                "flagKey": row.config.flag.key,
                "variant": row.variant,
                "ruleId": str(row.rule_id) if row.rule_id else None,
            }
            for row in parts
            if row.pk != lead.pk
        ],
        "steps": plan.steps,
        "then": plan.then or None,
        "template": plan.template or None,
        "afterEnvironment": plan.after_environment,
        "state": plan.state,
        "currentStep": plan.current_step,
        "percent": percent_now(lead),
        "nextStepAt": plan.next_step_at,
        "nextDueAt": plan.next_step_at or plan.due_at,
        "anchorVersion": lead.anchor_version,
        "waitingFor": {"kind": plan.waits_for, "detail": plan.waits_because} if plan.waits_for else None,
        "approvals": [{"step": int(number), **given} for number, given in sorted(plan.approvals.items())],
        "guardrails": plan.verdicts,
        "history": plan.history,
        "startedAt": plan.started_at,
        "startedBy": plan.started_by,
        "stepSince": plan.written_at,
        "finishedAt": plan.finished_at,
        "version": plan.version,
        "createdAt": plan.created_at,
        "updatedAt": plan.updated_at,
    }


# What a caller may send; all else of the resource is only shown.
PLAN_FIELDS = ("variant", "ruleId", "steps", "then", "template", "flags", "afterEnvironment")
PLAN_SHOWN = (
    "id", "flagKey", "environment", "state", "currentStep", "percent", "nextStepAt", "nextDueAt", "anchorVersion",
    "waitingFor", "approvals", "guardrails", "history", "startedAt", "startedBy", "stepSince", "finishedAt",
    "createdAt", "updatedAt",
)  # fmt: skip


def plan_content(plan: RolloutPlan) -> dict[str, Any]:
    """What people decide of the plan and where it stands, without what a look of a worker changes."""
    shown = plan_resource(plan)
    return {name: shown[name] for name in ("id", *PLAN_FIELDS, "state", "currentStep", "version")}


def plan_export(plan: RolloutPlan, part: RolloutPart | None = None) -> dict[str, Any]:
    """The plan as a file has it: what a caller may send, for the flag of `part`, which is its `key`."""
    resource = plan_resource(plan, part)
    return {"key": resource["flagKey"], **{name: resource[name] for name in PLAN_FIELDS if resource[name]}}


def plan_file(plan: RolloutPlan, part: RolloutPart | None = None) -> dict[str, Any]:
    """The plan as a PUT of the flag of `part` takes it."""
    document = plan_export(plan, part)
    return {"flagKey": document.pop("key"), **document}


def percent_now(part: RolloutPart) -> int | float:
    """The share of the variant that the flag's rollout, or its rule, gives now, whoever has put it there."""
    config = part.config
    served = served_of(config, list(config.rules.all()) if part.rule_id else [], part.rule_id)
    share = _share_in(served, part.variant)
    if served is not None and part.rule_id is None and config.default_variant == part.variant:
        # Whoever no range reaches gets the default.
        share += BUCKETS - sum(end - start for start, end, _ in served.ranges)
    return percent_of(share)


def _share_in(served: Served | None, variant: str) -> int:
    if served is not None and served.variant:
        return BUCKETS if served.variant == variant else 0
    return share_of(served.ranges, variant) if served is not None else 0


def anchor_share(part: RolloutPart) -> int:
    """The variant's buckets before the plan."""
    if part.anchor is None:
        return 0
    if part.rule_id is None:
        return share_of(part.anchor["allocation"], part.variant)
    rule: dict[str, Any] = next((row for row in part.anchor["rules"] if row["id"] == str(part.rule_id)), {})
    if "variant" in rule:
        return BUCKETS if rule["variant"] == part.variant else 0
    return share_of(rule.get("allocation", []), part.variant)


def template_resource(template: RolloutTemplate | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(template, RolloutTemplate):
        return {
            "key": template.key,
            "name": template.name,
            "steps": template.steps,
            "isBuiltIn": False,
            "version": template.version,
            "createdAt": template.created_at,
            "updatedAt": template.updated_at,
        }
    return {**template, "isBuiltIn": True, "version": 1, "createdAt": None, "updatedAt": None}


def scheduled_resource(change: ScheduledChange) -> dict[str, Any]:
    return {
        "id": str(change.pk),
        "resource": {"type": change.resource_type, "key": change.resource_key},
        "patch": change.patch,
        "baseVersion": change.base_version,
        "at": change.at,
        "cron": change.cron or None,
        "zone": change.zone,
        "title": change.title,
        "state": change.state,
        "reason": change.reason,
        "nextDueAt": change.due_at if change.state == ScheduledChange.State.WAITING else None,
        "publishedAt": change.published_at,
        "createdBy": change.created_by,
        "version": change.version,
        "createdAt": change.created_at,
        "updatedAt": change.updated_at,
    }


def trigger_resource(trigger: Trigger) -> dict[str, Any]:
    """The trigger without its address, which the answer to its making alone has."""
    return {
        "id": str(trigger.pk),
        "name": trigger.name,
        "flagKey": trigger.config.flag.key,
        "act": trigger.act,
        "enabled": trigger.enabled,
        "prefix": trigger.prefix,
        "lastCalledAt": trigger.last_called_at,
        "lastActedAt": trigger.last_acted_at,
        "createdBy": trigger.created_by,
        "version": trigger.version,
        "createdAt": trigger.created_at,
        "updatedAt": trigger.updated_at,
    }


def text_of(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
