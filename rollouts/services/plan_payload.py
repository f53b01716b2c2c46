"""What is sent of a plan, read and checked: its steps, its flags, its end."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from experiments.models import Metric
from flags.documents import basis_points_of
from flags.models import FlagConfig
from flags.selectors import get_config
from flags.services import Served, served_of
from rollouts.documents import PLAN_FIELDS, plan_resource
from rollouts.models import RolloutPart, RolloutPlan
from rollouts.planning.durations import parse_duration
from rollouts.planning.plan_fields import read_steps
from rollouts.selectors import template_steps
from rollouts.services.conflicts import leaves_over
from tenancy.errors import Invalid, Problem
from tenancy.models import Environment
from tenancy.refusals import refuse_if_any, unknown_fields

MOST_FLAGS: Final = 20
_FULL: Final = 10_000


def is_same(plan: RolloutPlan, part: RolloutPart, payload: Mapping[str, Any]) -> bool:
    """Whether what was sent is the plan's content, as the flag of `part` sees it, however it is written."""
    try:
        sent = _content(plan.environment, payload)
    except Invalid:
        # What is wrong with it is said where it would be saved.
        return False
    there = plan_resource(plan, part)
    return sent == {name: there[name] for name in PLAN_FIELDS}


def _content(environment: Environment, payload: Mapping[str, Any]) -> dict[str, Any]:
    template, listed = payload.get("template") or None, payload.get("steps")
    if not listed and isinstance(template, str):
        listed = template_steps(environment.project.organization, template)
    steps, problems = read_steps(listed)
    refuse_if_any(problems)
    flags = payload.get("flags") or []
    if not isinstance(flags, list) or not all(isinstance(item, Mapping) for item in flags):
        raise Invalid("Send a list of {flagKey, variant, ruleId}.", attr="flags", code="invalid_type")
    return {
        "variant": payload.get("variant"),
        "ruleId": _text(_rule_id(payload, "")),
        "steps": steps,
        "then": payload.get("then") or None,
        "template": template,
        "flags": [{**item, "ruleId": _text(_rule_id(item, ""))} for item in flags],
        "afterEnvironment": after_environment_sent(environment, payload.get("afterEnvironment")),
    }


def _text(rule_id: UUID | None) -> str | None:
    return str(rule_id) if rule_id else None


def _rule_id(sent: Mapping[str, Any], path: str) -> UUID | None:
    try:
        return UUID(str(sent["ruleId"])) if sent.get("ruleId") else None
    except ValueError as error:
        raise Invalid("Send the rule's id.", attr=f"{path}ruleId", code="invalid") from error


def raised_in(config: FlagConfig, variant: str, rule_id: UUID | None, path: str = "") -> Served:
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


def steps_sent(environment: Environment, payload: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str]:
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


def parts_sent(
    environment: Environment, key: str, payload: Mapping[str, Any]
) -> list[tuple[FlagConfig, str, UUID | None]]:
    """The flags with the variant and the rule of each, the one of the address first."""
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
    rule = _rule_id(sent, path)
    raised_in(config, variant, rule, path)
    return config, variant, rule


def end_problems(then: Any, steps: list[dict[str, Any]]) -> list[Problem]:
    if then not in RolloutPlan.Then.values:
        return [Problem("then", "invalid_choice", "Send make_permanent, or leave it out.")]
    if then and (basis_points_of(steps[-1]["percent"]) or 0) < _FULL:
        return [Problem("then", "invalid", "Only a share of 100 % is made permanent; let the last step reach it.")]
    return []


def watch_problems(steps: list[dict[str, Any]]) -> list[Problem]:
    """A guardrail is read on the step before it and on its own; a plan's only step is its end, so it never is."""
    if len(steps) > 1 or "guardrails" not in steps[0]:
        return []
    remedy = "A plan ends with its last step, so nothing would be watched; put a smaller step before it."
    return [Problem("steps[0].guardrails", "invalid", remedy)]


def metric_problems(environment: Environment, steps: list[dict[str, Any]]) -> list[Problem]:
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


def after_environment_sent(environment: Environment, sent: Any) -> dict[str, Any] | None:
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
