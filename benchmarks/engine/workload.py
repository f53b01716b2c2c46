"""What is measured: a store of 1,000 flags, 10,000 users, and four questions asked of it (W1 to W4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ATTRIBUTES: dict[str, Any] = {
    "country": "DE",
    "plan": "pro",
    "age": 42,
    "email": "alice@example.com",
    "device": "ios",
}
USERS = [f"user-{number:05d}" for number in range(10_000)]

# (attribute, operator, value): ten rules of two conditions. Five fail on the first, four on the second, the last
# matches, so an evaluator that stops early looks at fifteen.
Rule = list[tuple[str, str, Any]]
RULES: list[Rule] = [
    [("country", "equals", "US"), ("plan", "in", ["free", "pro", "team"])],
    [("plan", "equals", "pro"), ("age", "greater_than", 65)],
    [("email", "starts_with", "bob"), ("country", "in", ["DE", "AT", "CH"])],
    [("country", "in", ["DE", "FR", "IT", "ES", "NL"]), ("device", "equals", "android")],
    [("age", "greater_than", 60), ("plan", "equals", "pro")],
    [("age", "greater_than", 18), ("country", "in", ["US", "CA", "GB", "AU"])],
    [("plan", "in", ["free", "trial"]), ("email", "starts_with", "alice")],
    [("email", "starts_with", "alice"), ("plan", "equals", "enterprise")],
    [("device", "in", ["web", "android"]), ("age", "greater_than", 30)],
    [("email", "starts_with", "alice"), ("age", "greater_than", 30)],
]
RULE_VARIANTS = ["control", *(f"v{number}" for number in range(1, 11))]

BOOLEAN, SPLIT, RULED = "boolean", "split", "ruled"


@dataclass(frozen=True)
class Flag:
    """`split` is (variant, basis points) in order; a ruled flag serves v1 for its first rule, v2 for its second."""

    key: str
    kind: str
    split: tuple[tuple[str, int], ...]
    rules: tuple[tuple[Rule, str], ...] = ()

    @property
    def variants(self) -> list[str]:
        return RULE_VARIANTS if self.kind == RULED else [variant for variant, _ in self.split]


def make_flags() -> list[Flag]:
    """600 boolean flags at 25 %, 300 splits of 50/25/25, 100 flags of ten rules; w1, w2 and w3 are among them."""
    ruled = tuple((rule, f"v{number}") for number, rule in enumerate(RULES, start=1))
    flags = []
    for number in range(1000):
        key = {0: "w1", 6: "w3", 9: "w2"}.get(number, f"flag-{number:04d}")
        if number % 10 < 6:
            flags.append(Flag(key, BOOLEAN, (("on", 2500), ("off", 7500))))
        elif number % 10 < 9:
            flags.append(Flag(key, SPLIT, (("a", 5000), ("b", 2500), ("c", 2500))))
        else:
            flags.append(Flag(key, RULED, (("control", 10_000),), ruled))
    return flags


FLAGS = make_flags()
KINDS = {flag.key: flag.kind for flag in FLAGS}


def ranges(split: tuple[tuple[str, int], ...]) -> list[tuple[int, int, str]]:
    """A split as half-open bucket ranges."""
    laid, start = [], 0
    for variant, weight in split:
        laid.append((start, start + weight, variant))
        start += weight
    return laid
