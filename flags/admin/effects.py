"""What a change does to whom, counted over all 10,000 buckets: exact, because a user's bucket stays the same.

Nobody knows beforehand how many users match a rule. So shares are given among the users who come to each step, and
never added up over steps.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class Move:
    """A share (0 to 1) of a group of users who go from one variant to another."""

    before: str
    after: str
    share: float


@dataclass(frozen=True, slots=True)
class Effect:
    """What happens to one group of users; `moved` is the share of them whose variant changes."""

    group: str
    moves: Sequence[Move]

    @property
    def moved(self) -> float:
        return sum(move.share for move in self.moves)


def effects(before: dict[str, Any], after: dict[str, Any]) -> list[Effect]:
    """Compare two documents of one flag: users no target or rule applies to first, then each rule that both have.

    Groups in which nobody moves are left out; so are rules that are new, gone or reordered, which sentences describe.
    """
    found = [Effect("users no target or rule applies to", _moves(before, after, None, None))]
    rules_before = {rule["id"]: rule for rule in before["rules"]}
    for number, rule in enumerate(after["rules"], start=1):
        old = rules_before.get(rule["id"])
        if old is not None and old["conditions"] == rule["conditions"]:
            name = rule.get("name") or f"rule {number}"
            found.append(Effect(f"users whom {name} applies to", _moves(before, after, old, rule)))
    return [effect for effect in found if effect.moves]


def served(document: dict[str, Any]) -> Counter[str]:
    """Share by variant among users no target or rule applies to."""
    shares: Counter[str] = Counter()
    for share, owners in _mixture(document, None):
        for variant, count in Counter(owners).items():
            shares[variant] += share * count / BUCKETS  # type: ignore[assignment]  # shares, not counts
    return shares


def _moves(
    before: dict[str, Any], after: dict[str, Any], old: dict[str, Any] | None, new: dict[str, Any] | None
) -> list[Move]:
    pairs: Counter[tuple[str, str]] = Counter()
    for (share, owners_before), (_, owners_after) in zip(
        _mixture(before, old, after), _mixture(after, new, before), strict=True
    ):
        for pair, count in Counter(zip(owners_before, owners_after, strict=True)).items():
            pairs[pair] += share * count / BUCKETS  # type: ignore[assignment]  # shares, not counts
    return [
        Move(*pair, share) for pair, share in sorted(pairs.items(), key=lambda item: -item[1]) if pair[0] != pair[1]
    ]


def _mixture(
    document: dict[str, Any], rule: dict[str, Any] | None, other: dict[str, Any] | None = None
) -> list[tuple[float, list[str]]]:
    """Split users into those in the experiment's layer range and those outside it: a hash apart from the variants'."""
    experiment = document.get("experiment") or (other or {}).get("experiment")
    if not experiment:
        return [(1.0, _owners(document, rule, is_in_experiment=False))]
    inside = sum(end - start for start, end in experiment["ranges"]) / BUCKETS
    return [
        (inside, _owners(document, rule, is_in_experiment=True)),
        (1 - inside, _owners(document, rule, is_in_experiment=False)),
    ]


def _owners(document: dict[str, Any], rule: dict[str, Any] | None, *, is_in_experiment: bool) -> list[str]:
    """The variant of each bucket, following the contract's order for users with a unit whose prerequisites are met."""
    if document["killSwitchVariant"]:
        return [document["killSwitchVariant"]] * BUCKETS
    if not document["enabled"]:
        return [document["offVariant"]] * BUCKETS
    experiment = document.get("experiment")
    rest = document["defaultVariant"]
    allocation = document["allocation"]
    if experiment and is_in_experiment:
        rest = experiment["controlVariant"]
    elif experiment:
        allocation = []
    owners = [rest] * BUCKETS
    _lay(owners, allocation)
    if rule is not None:
        if rule.get("variant"):
            return [rule["variant"]] * BUCKETS
        _lay(owners, rule.get("allocation", []))
    return owners


def _lay(owners: list[str], allocation: list[list[Any]]) -> None:
    for start, end, variant in allocation:
        owners[start:end] = [variant] * (end - start)
