"""The exact shares of users whom a change moves. A user's bucket stays the same, so they can be counted beforehand.

Nobody knows beforehand how many users match a rule. So shares are of the users who come to each step, and are never
added up over steps.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openflagship.engine import BUCKETS, impact

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
    """What happens to one group of users. `moved` is the share of them whose variant changes."""

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
    moves = [Move(str(move.before), str(move.after), move.share) for move in whole.moves]
    found = [Effect(group, moves, whole.changed)]
    are_rules_asked = asks_rules(before) and asks_rules(after)
    rules_before = {rule["id"]: rule for rule in before["rules"]} if are_rules_asked else {}
    for number, rule in enumerate(after["rules"], start=1):
        old = rules_before.get(rule["id"])
        if old is not None and old["conditions"] == rule["conditions"]:
            found.append(_of_rule(f"users whom {rule.get('name') or f'rule {number}'} applies to", old, rule))
    return [effect for effect in found if effect.moves]


def asks_rules(document: dict[str, Any]) -> bool:
    return bool(document["enabled"] and not document["killSwitchVariant"])


def served(document: dict[str, Any]) -> dict[str, float]:
    """Return the share by variant among users whom no target or rule applies to."""
    return {str(variant): share for variant, share in impact(document, document).after.items()}


def _of_rule(group: str, before: dict[str, Any], after: dict[str, Any]) -> Effect:
    pairs = Counter(zip(_owners(before), _owners(after), strict=True))
    moves = [Move(*pair, count / BUCKETS) for pair, count in pairs.most_common() if pair[0] != pair[1]]
    return Effect(group, moves, sum(move.share for move in moves))


def _owners(rule: dict[str, Any]) -> list[str]:
    """Return what the rule gives each bucket. Buckets outside its shares go on to the next step."""
    owners = [rule.get("variant") or _GOES_ON] * BUCKETS
    for start, end, variant in rule.get("allocation", []):
        owners[start:end] = [variant] * (end - start)
    return owners
