"""Buckets and their ranges: the hash, a fresh layout of weights, and the change that moves the fewest buckets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import mmh3

BUCKETS = 10_000
# Past 2^53 two integers share one double, so another language would read another id.
MAX_EXACT_INTEGER = 2**53

AllocationRange = tuple[int, int, str]
Allocation = list[AllocationRange]


def bucket(salt: str, unit: str) -> int:
    """The unit's bucket, 0 to 9999. Raises ValueError for an empty unit, which must never be hashed."""
    if not unit:
        raise ValueError("An empty unit has no bucket; treat it as no unit.")
    return mmh3.hash(f"{salt}:{unit}", 0, False) % BUCKETS


def unit_text(value: object) -> str | None:
    """The text that is hashed for an attribute's value; None where the value is not a unit.

    Strings stand as they are, integral numbers as decimal text (42 and 42.0 are both "42"). Anything else, an empty
    string, and text that is not well-formed Unicode (it has no UTF-8) is no unit.
    """
    if isinstance(value, str):
        return str.__str__(value) if value and is_well_formed(value) else None
    number = number_of(value)
    # Neither NaN nor infinity names a unit.
    if number is None or abs(number) > MAX_EXACT_INTEGER or number != int(number):
        return None
    return str(int(number))


def number_of(value: object) -> int | float | None:
    """The number that a value is in every language: integers past 2^53 become doubles. None for other values."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:  # noqa: PLR0124 NaN alone differs from itself
        return None
    if isinstance(value, int) and abs(value) > MAX_EXACT_INTEGER:
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return value


def is_well_formed(text: str) -> bool:
    """Whether text can be encoded as UTF-8, which lone surrogates cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def deal(weights: Iterable[Sequence[object]]) -> Allocation:
    """A fresh layout of (variant, basis points) pairs, in the given order.

    Raises ValueError for a weight that is no whole number of basis points, a variant given twice, or more than 10000.
    """
    ranges: Allocation = []
    start = 0
    for variant, weight in checked_weights(weights).items():
        if weight:
            ranges.append((start, start + weight, variant))
            start += weight
    return ranges


def reallocate(before: Iterable[Sequence[object]], weights: Iterable[Sequence[object]]) -> Allocation:
    """The ranges for new weights that move the fewest buckets away from `before`.

    A variant that shrinks gives up its highest buckets, uncovered space its lowest; variants that grow take what was
    given up, lowest first, in the order the weights are given. Raises ValueError as `deal`, and for bad ranges.
    """
    wanted = checked_weights(weights)
    owners = _owners(before)
    held: dict[str | None, list[int]] = {}
    for number, owner in enumerate(owners):
        held.setdefault(owner, []).append(number)
    free = []
    for owner, numbers in held.items():
        if owner is not None:
            free += numbers[wanted.get(owner, 0) :]
    uncovered = held.get(None, [])
    free += uncovered[: max(0, len(uncovered) - (BUCKETS - sum(wanted.values())))]
    free.sort()
    for number in free:
        owners[number] = None
    position = 0
    for variant, weight in wanted.items():
        for _ in range(weight - len(held.get(variant, ()))):
            owners[free[position]] = variant
            position += 1
    return _ranges(owners)


def moved_buckets(before: Iterable[Sequence[object]], after: Iterable[Sequence[object]]) -> int:
    """How many of the 10000 buckets change: to another variant, to none, or from none to one."""
    return sum(old != new for old, new in zip(_owners(before), _owners(after), strict=True))


def buckets_by_variant(ranges: Iterable[Sequence[Any]]) -> dict[str, int]:
    """How many buckets each variant has, in the order in which the variants first appear."""
    buckets: dict[str, int] = {}
    for start, end, variant in ranges:
        buckets[variant] = buckets.get(variant, 0) + end - start
    return buckets


def checked_weights(weights: Iterable[Sequence[object]]) -> dict[str, int]:
    """The weights by variant, in order. Raises ValueError, which says what is wrong with them."""
    checked: dict[str, int] = {}
    for variant, weight in weights:
        if not isinstance(variant, str):
            raise ValueError(f"A variant is named by a string, not by {variant!r}.")  # noqa: TRY004 one error for bad weights
        if isinstance(weight, bool) or not isinstance(weight, int) or not 0 <= weight <= BUCKETS:
            raise ValueError(f"Give {variant!r} a whole number of basis points from 0 to {BUCKETS}, not {weight!r}.")
        if variant in checked:
            raise ValueError(f"Variant {variant!r} has two weights; give it one.")
        checked[variant] = weight
    if sum(checked.values()) > BUCKETS:
        raise ValueError(f"Weights sum to {sum(checked.values())} basis points; lower them to {BUCKETS} at most.")
    return checked


def _owners(ranges: Iterable[Sequence[object]]) -> list[str | None]:
    owners: list[str | None] = [None] * BUCKETS
    for start, end, variant in ranges:
        if not (isinstance(start, int) and isinstance(end, int) and isinstance(variant, str)):
            raise ValueError(  # noqa: TRY004 one kind of error for bad ranges
                f"A range is [start, end, variant], not {[start, end, variant]!r}."
            )
        if not 0 <= start < end <= BUCKETS:
            raise ValueError(f"Range {start} to {end} does not lie within 0 to {BUCKETS}.")
        for number in range(start, end):
            if owners[number] is not None:
                raise ValueError(f"Bucket {number} is given to {owners[number]!r} and to {variant!r}.")
            owners[number] = variant
    return owners


def _ranges(owners: Sequence[str | None]) -> Allocation:
    ranges: Allocation = []
    start = 0
    for number in range(1, len(owners) + 1):
        if number == len(owners) or owners[number] != owners[start]:
            owner = owners[start]
            if owner is not None:
                ranges.append((start, number, owner))
            start = number
    return ranges
