"""The words of a flag's and a segment's fields where a change of them is told."""

from collections.abc import Iterator, Mapping
from typing import Any

from flags.admin.flag.sentences import describe_rule, describe_sent, describe_tree
from flags.documents import percent_of
from tenancy.console_kit.changes import register_words, said
from tenancy.models import Exposures

Shares = list[Any] | None


def _enabled(_: Any, after: Any) -> Iterator[str]:
    yield "Switched on." if after else "Switched off."


def _kill_switch(before: Any, after: Any) -> Iterator[str]:
    yield f"Killed: everybody gets {after}." if after else f"Released; everybody got {before}."


def _rollout(before: Shares, after: Shares) -> Iterator[str]:
    yield f"Default rollout: {_shares(after)}, was {_shares(before)}."


def _allocation(before: Shares, after: Shares) -> Iterator[str]:
    if all(isinstance(item, Mapping) for item in [*(before or []), *(after or [])]):
        yield f"Split: {_shares(after)}, was {_shares(before)}."
    else:
        yield f"Default rollout: {_ranges(after)}, was {_ranges(before)}."


def _shares(shares: Shares) -> str:
    return ", ".join(f"{item['percent']:g} % {item['variant']}" for item in shares or []) or "nobody"


def _ranges(ranges: Shares) -> str:
    totals: dict[str, int] = {}
    for start, end, variant in ranges or []:
        totals[variant] = totals.get(variant, 0) + end - start
    return ", ".join(f"{percent_of(total)} % {variant}" for variant, total in totals.items()) or "nobody"


def _rules(before: list[dict[str, Any]] | None, after: list[dict[str, Any]] | None) -> Iterator[str]:
    old, new = ({rule.get("id"): rule for rule in rules or []} for rules in (before, after))
    for key, rule in new.items():
        if key not in old:
            yield f"Rule added{_name(rule)}: {_rule(rule)}"
        elif _rule(rule) != _rule(old[key]):
            yield f"Rule{_name(rule)}: {_rule(rule)} It was: {_rule(old[key])}"
        elif rule.get("name") != old[key].get("name"):
            yield f"Rule{_name(old[key])} is called {said(rule.get('name'))} now."
    for key, rule in old.items():
        if key not in new:
            yield f"Rule removed{_name(rule)}: {_rule(rule)}"
    if [key for key in old if key in new] != [key for key in new if key in old]:
        yield "The rules are in another order."


def _rule(rule: dict[str, Any]) -> str:
    return describe_sent(rule) if "rollout" in rule else describe_rule(rule)


def _name(rule: Mapping[str, Any]) -> str:
    return f" “{rule['name']}”" if rule.get("name") else ""


def _targets(before: list[dict[str, Any]] | None, after: list[dict[str, Any]] | None) -> Iterator[str]:
    old, new = _variants_by_unit(before), _variants_by_unit(after)
    for words, units in (
        ("now get their variant always", [unit for unit in new if unit not in old]),
        ("are targeted no more", [unit for unit in old if unit not in new]),
        ("get another variant", [unit for unit in new if unit in old and old[unit] != new[unit]]),
    ):
        if units:
            more = f" and {len(units) - 5:,} more" if len(units) > 5 else ""
            yield f"Single users: {', '.join(units[:5])}{more} {words}."


def _variants_by_unit(targets: list[dict[str, Any]] | None) -> dict[str, str]:
    return {unit: item["variant"] for item in targets or [] for unit in item["userIds"]}


def _prerequisites(before: list[dict[str, Any]] | None, after: list[dict[str, Any]] | None) -> Iterator[str]:
    def words(items: list[dict[str, Any]] | None) -> str:
        return "; ".join(f"{item['flagKey']} gives {' or '.join(item['variants'])}" for item in items or []) or "none"

    yield f"Prerequisites: {words(after)}. They were: {words(before)}."


def _variants(before: list[dict[str, Any]] | None, after: list[dict[str, Any]] | None) -> Iterator[str]:
    old, new = ({item["key"]: item["value"] for item in items or []} for items in (before, after))
    for key, value in new.items():
        if key not in old:
            yield f"Variant {key} added, with the value {said(value)}."
        elif old[key] != value:
            yield f"Variant {key} has the value {said(value)} now, was {said(old[key])}."
    for key in old:
        if key not in new:
            yield f"Variant {key} removed."


def _conditions(before: Any, after: Any) -> Iterator[str]:
    yield f"Conditions: {_tree(after)}. They were: {_tree(before)}."


def _audience(before: Any, after: Any) -> Iterator[str]:
    yield f"Audience: {_tree(after, 'everybody')}. It was: {_tree(before, 'everybody')}."


def _tree(node: Any, empty: str = "none") -> str:
    tree = {"all": node} if isinstance(node, list) else node
    return describe_tree(tree) if tree else empty


def _exposures(_: Any, after: Any) -> Iterator[str]:
    logged = Exposures(after).label.lower() if after in Exposures.values else "what the environment says"
    yield f"Logged as exposures: {logged}."


def register() -> None:
    for field, words in {
        "enabled": _enabled,
        "killSwitchVariant": _kill_switch,
        "rollout": _rollout,
        "allocation": _allocation,
        "rules": _rules,
        "targets": _targets,
        "prerequisites": _prerequisites,
        "variants": _variants,
        "conditions": _conditions,
        "audience": _audience,
        "exposures": _exposures,
    }.items():
        register_words(field, words)
