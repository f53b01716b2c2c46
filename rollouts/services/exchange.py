"""Plans in a file: what an export carries of them, and how an import puts them in."""

from typing import Any

from audit.actors import Actor
from flags.selectors import get_config
from rollouts.documents import PLAN_FIELDS, plan_export
from rollouts.models import RolloutPart, RolloutPlan
from rollouts.selectors import plans
from rollouts.services.conflicts import in_progress
from rollouts.services.plan_payload import is_same
from rollouts.services.plans import save_plan
from tenancy.models import Environment
from tenancy.refusals import refuse_unknown

NAME, ENTITY = "rolloutPlans", "rollout plan"


def exported(environment: Environment) -> list[Any]:
    """The plans that are not at their end; in another environment they begin anew, and are not started.

    A rule has another id there; so its priority goes along, which says there too which rule it is.
    """
    found = []
    for plan in plans(environment).filter(state__in=RolloutPlan.OPEN).order_by("pk"):
        lead, *others = plan.parts.all()
        document = {**plan_export(plan), **_rule(lead)}
        if others:
            document["flags"] = [{**item, **_rule(part)} for item, part in zip(document["flags"], others, strict=True)]
        found.append(document)
    return found


def _rule(part: RolloutPart) -> dict[str, Any]:
    rule = next((row for row in part.config.rules.all() if row.pk == part.rule_id), None)
    return {} if rule is None else {"rule": {"priority": rule.priority}}


def put(actor: Actor, environment: Environment, item: dict[str, Any], *, keeps_existing: bool) -> str:
    """Save the plan of the flag `key`. One that is there already with the same content stays. Raises as `save_plan`."""
    refuse_unknown(item, ("key", "rule", *PLAN_FIELDS))
    found = plans(environment).filter(parts__config__flag__key=item["key"], parts__is_open=True).first()
    if found is not None and keeps_existing:
        return "kept"
    sent = {name: value for name, value in _with_rules_here(environment, item).items() if name != "key"}
    if found is not None:
        part = next(row for row in found.parts.all() if row.config.flag.key == item["key"])
        if is_same(found, part, sent):
            return "unchanged"
        if found.state != RolloutPlan.State.DRAFT:
            raise in_progress(part, attr="key", remedy="Cancel it first.")
    version = found.version if found is not None else None
    save_plan(actor=actor, environment=environment, key=item["key"], payload=sent, version=version)
    return "created" if found is None else "updated"


def _with_rules_here(environment: Environment, item: dict[str, Any]) -> dict[str, Any]:
    """The plan with the ids that its rules have in this environment."""
    here = _with_rule_here(environment, item["key"], item)
    listed = item.get("flags")
    if isinstance(listed, list):
        here["flags"] = [
            _with_rule_here(environment, each.get("flagKey"), each) if isinstance(each, dict) else each
            for each in listed
        ]
    return here


def _with_rule_here(environment: Environment, key: Any, item: dict[str, Any]) -> dict[str, Any]:
    here = {name: value for name, value in item.items() if name != "rule"}
    priority = item["rule"].get("priority") if isinstance(item.get("rule"), dict) else None
    if item.get("ruleId") and isinstance(priority, int) and isinstance(key, str):
        rules = get_config(environment, key).rules.all()
        if str(item["ruleId"]) not in {str(rule.pk) for rule in rules}:
            here["ruleId"] = next((str(rule.pk) for rule in rules if rule.priority == priority), item["ruleId"])
    return here
