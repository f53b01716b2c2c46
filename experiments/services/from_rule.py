"""An experiment that is made from a rule of its flag: the rule's audience, its place, and its shares."""

from typing import Any

from flags.documents import rollout_of
from flags.models import FlagConfig, Rule
from tenancy.errors import Invalid


def design_from_rule(config: FlagConfig, rule_id: Any) -> dict[str, Any]:
    """Return the fields of an experiment that is asked just before the rule, of the users whom the rule matches.

    Raises Invalid `unknown_rule`, or `no_room` where no priority is free just before the rule.
    """
    rules = sorted(config.rules.all(), key=lambda rule: rule.priority)
    rule = next((rule for rule in rules if str(rule.pk) == str(rule_id)), None)
    if rule is None:
        known = ", ".join(f"{rule.pk} ({rule})" for rule in rules) or "no rule at all"
        raise Invalid(
            f"The flag {config.flag.key!r} has no rule {rule_id}; it has {known}.", attr="fromRule", code="unknown_rule"
        )
    design: dict[str, Any] = {"audience": audience_of(rule), "priority": _place_before(rule, rules)}
    if rule.allocation:
        design["allocation"] = rollout_of(rule.allocation)
    return design


def audience_of(rule: Rule) -> dict[str, Any] | None:
    """The rule's conditions as an audience; None where the rule matches everybody."""
    conditions = rule.conditions
    if isinstance(conditions, dict):
        return conditions
    return {"all": conditions} if conditions else None


def _place_before(rule: Rule, rules: list[Rule]) -> int:
    """Half way to the rule before, so that there is room on either side."""
    before = max((other.priority for other in rules if other.priority < rule.priority), default=None)
    if before is None:
        return rule.priority - 1
    if rule.priority - before < 2:
        raise Invalid(
            f"The rules {before} and {rule.priority} leave no priority free between them. Give {str(rule)!r} and the "
            "rules after it higher priorities first.",
            attr="fromRule",
            code="no_room",
        )
    return (before + rule.priority) // 2
