"""The exact shares of users whom a change moves. A user's bucket stays the same, so they can be counted beforehand.

Nobody knows beforehand how many users match a rule. So shares are of the users who come to each step, and are never
added up over steps.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from openflagship.engine import BUCKETS, impact

from flags.evaluation.impact import revalued

ALL_USERS = "all users"
# The engine calls these users "undecided": those who are left for shares, experiment and default.
OTHER_USERS = "users no target or rule applies to"
_GOES_ON = "the next step"


@dataclass(frozen=True, slots=True)
class Move:
    """A share (0 to 1) of a group of users who go from one variant to another."""

    before: str
    after: str
    share: float


@dataclass(frozen=True, slots=True)
class Effect:
    """What happens to one group of users. `moved` is the share of them whose variant changes, or its value."""

    group: str
    moves: Sequence[Move]
    moved: float


def effects(before: dict[str, Any], after: dict[str, Any]) -> list[Effect]:
    """Compare two documents of one flag: users whom nothing else decides first, then each rule that both have.

    Groups in which nobody moves are left out. So are rules that are new, gone, or have other conditions now: attributes
    decide whom those reach. If a flag is off or killed before or after, its rules decide nothing and are left out.
    """
    whole = impact(before, after)
    group = ALL_USERS if whole.basis == "everyone" else OTHER_USERS
    other_values = revalued(before, after)
    moves = [Move(str(move.before), str(move.after), move.share) for move in whole.moves]
    kept = {
        str(key): share - sum(move.share for move in moves if move.after == key)
        for key, share in whole.after.items()
        if key in other_values
    }
    # Less than one bucket is what floating point leaves over.
    moves += [_with_another_value(key, share) for key, share in kept.items() if share * BUCKETS > 0.5]
    found = [_effect(group, moves)]
    are_rules_asked = asks_rules(before) and asks_rules(after)
    rules_before = {rule["id"]: rule for rule in before["rules"]} if are_rules_asked else {}
    for number, rule in enumerate(after["rules"], start=1):
        old = rules_before.get(rule["id"])
        if old is not None and old["conditions"] == rule["conditions"]:
            found.append(
                _of_rule(f"users whom {rule.get('name') or f'rule {number}'} applies to", old, rule, other_values)
            )
    return [effect for effect in found if effect.moves]


def asks_rules(document: dict[str, Any]) -> bool:
    return bool(document["enabled"] and not document["killSwitchVariant"])


def served(document: dict[str, Any]) -> dict[str, float]:
    """Return the share by variant among users whom no target or rule applies to."""
    return {str(variant): share for variant, share in impact(document, document).after.items()}


def _of_rule(group: str, before: dict[str, Any], after: dict[str, Any], other_values: Collection[str]) -> Effect:
    pairs = Counter(zip(_owners(before), _owners(after), strict=True)).most_common()
    moves = [Move(*pair, count / BUCKETS) for pair, count in pairs if pair[0] != pair[1]]
    kept = [(new, count / BUCKETS) for (old, new), count in pairs if old == new and new in other_values]
    return _effect(group, [*moves, *(_with_another_value(*pair) for pair in kept)])


def _with_another_value(variant: str, share: float) -> Move:
    return Move(variant, f"{variant} with another value", share)


def _effect(group: str, moves: Sequence[Move]) -> Effect:
    return Effect(group, moves, sum(move.share for move in moves))


def _owners(rule: dict[str, Any]) -> list[str]:
    """Return what the rule gives each bucket. Buckets outside its shares go on to the next step."""
    owners = [rule.get("variant") or _GOES_ON] * BUCKETS
    for start, end, variant in rule.get("allocation", []):
        owners[start:end] = [variant] * (end - start)
    return owners
