"""A flag's configuration in plain English, in the order in which the flag decides."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from flags.admin.conditions import NOTHING, OPERATORS, WITHOUT_ATTRIBUTE
from flags.documents import percent_of, rollout_of

_MOST_NAMED = 3
# A sentence shows the beginning of a long list or text. The form has all of it.
_MOST_LISTED = 10
_LONGEST = 80


def describe(document: dict[str, Any]) -> list[str]:
    """Return one sentence for each step of a flag's document that can decide. The first step that applies wins."""
    if document["killSwitchVariant"]:
        return [f"The kill switch is on: everybody gets {document['killSwitchVariant']}."]
    if not document["enabled"]:
        return [f"The flag is off: everybody gets {document['offVariant']}."]
    steps = [
        f"Unless {item['flagKey']} gives {_or(item['variants'])}: {document['offVariant']}."
        for item in document["prerequisites"]
    ]
    steps += [
        f"{_named(target['userIds'])} always get{'s' if len(target['userIds']) == 1 else ''} {target['variant']}."
        for target in document["targets"]
        if target["userIds"]
    ]
    experiment = document.get("experiment")
    default = document["defaultVariant"]
    steps += _rules_and_experiment(document["rules"], experiment)
    if experiment and experiment.get("allocation") is None:
        split = _shares(document["allocation"]) or "no split"
        steps.append(f"{_taking_part(experiment)}: {split}, the rest {experiment['controlVariant']}.")
        return [*steps, f"Everybody not in the experiment: {default}."]
    if document["allocation"]:
        steps.append(f"Default rollout: {_shares(document['allocation'])}.")
        if sum(end - start for start, end, _ in document["allocation"]) == 10_000:
            return steps
    return [*steps, f"Otherwise: {default}."]


def _rules_and_experiment(rules: list[dict[str, Any]], experiment: dict[str, Any] | None) -> list[str]:
    """The rules in their order, with an experiment that has a split of its own at its place among them."""
    said = [(rule["priority"], describe_rule(rule)) for rule in rules]
    if experiment and experiment.get("allocation") is not None:
        text = f"{_taking_part(experiment)}: {_shares(experiment['allocation'])}. Others fall through to the next step."
        place = experiment.get("priority")
        said.append((math.inf if place is None else place, text))
    return [text for _, text in sorted(said, key=lambda item: item[0])]


def _taking_part(experiment: dict[str, Any]) -> str:
    share = percent_of(sum(end - start for start, end in experiment["ranges"]))
    audience = " in the audience" if experiment.get("audience") else ""
    return f"{share} % of users whom nothing above decides{audience} take part in the running experiment"


def describe_rule(rule: dict[str, Any]) -> str:
    served = rule.get("variant") or _shared_out(rollout_of(rule.get("allocation", [])))
    return _rule_sentence(rule["conditions"], served)


def _shared_out(shares: Sequence[Mapping[str, Any]]) -> str:
    """Say who gets what of those whom a rule applies to, and how many fall through it."""
    rest = round(100 - sum(float(item["percent"]) for item in shares), 2)
    said = ", ".join(f"{item['percent']} % get {item['variant']}" for item in shares)
    if not said:
        return "all fall through to the next rule"
    return f"{said}; the other {rest:g} % fall through to the next rule" if rest > 0 else said


def _rule_sentence(conditions: list[dict[str, Any]] | dict[str, Any], served: str) -> str:
    tree = {"all": conditions} if isinstance(conditions, list) else conditions
    asked = describe_tree(tree)
    return f"{'' if asked in {'always', 'never'} else 'If '}{asked}: {served}."


def describe_sent(rule: dict[str, Any]) -> str:
    """Return the sentence of a rule in the API's words, as a form sends it; none while a share is no number."""
    shares = rule.get("rollout", [])
    if any(not isinstance(item.get("percent"), (int, float)) for item in shares):
        return ""
    served = rule.get("variant") or _shared_out(shares)
    return _rule_sentence(rule["conditions"], served)


def describe_condition(condition: dict[str, Any]) -> str:
    operator = str(condition.get("operator", ""))
    words, takes = OPERATORS.get(operator, (operator or "…", ""))
    subject = "" if operator in WITHOUT_ATTRIBUTE else f"{condition.get('attribute') or '…'} "
    if takes == NOTHING:
        return f"{subject}{words}"
    value = condition.get("value")
    said = _or(value) if isinstance(value, list) else _said(value)
    return f"{subject}{words.replace('…', said)}" if "…" in words else f"{subject}{words} {said}"


def describe_tree(node: dict[str, Any], *, is_inner: bool = False) -> str:
    """Return a tree of conditions as one sentence, with groups within groups in brackets."""
    for group, word in (("all", " and "), ("any", " or ")):
        if group in node:
            parts = [describe_tree(item, is_inner=True) for item in node[group]]
            said = word.join(parts) or ("always" if group == "all" else "never")
            return f"({said})" if is_inner and len(parts) > 1 else said
    if "not" in node:
        inner = describe_tree(node["not"], is_inner=True)
        return f"not {inner}" if inner.startswith("(") else f"not ({inner})"
    return describe_condition(node)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = "…" if value is None or value == "" else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _or(values: list[Any]) -> str:
    said = [_said(value) for value in values[:_MOST_LISTED]]
    if len(values) > _MOST_LISTED:
        said.append(f"{len(values) - _MOST_LISTED:,} more")
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} or {said[-1]}" if said else "nothing"


def _named(user_ids: list[str]) -> str:
    if len(user_ids) <= _MOST_NAMED:
        return ", ".join(user_ids[:-1]) + (" and " if len(user_ids) > 1 else "") + user_ids[-1]
    return f"{', '.join(user_ids[:_MOST_NAMED])} and {len(user_ids) - _MOST_NAMED} more"


def _shares(allocation: list[list[Any]]) -> str:
    return ", ".join(f"{share['percent']} % get {share['variant']}" for share in rollout_of(allocation))
