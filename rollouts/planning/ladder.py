"""The ladder of a plan: which buckets each variant has on each step, worked out once, when the plan is started.

The ranges of every step are stored. So whoever has the variant at a step has it again after a rollback and a resume.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from openflagship.engine import BUCKETS, buckets_by_variant, reallocate

Ranges = list[list[Any]]


def rungs(before: Ranges, variant: str, shares_bp: Sequence[int], order: Sequence[str]) -> list[Ranges]:
    """Return the ranges of each step. The variant's buckets only grow; `order` is that of the flag's variants.

    The variant takes uncovered buckets first. Then the others shrink, in the proportion that they had at the start.
    """
    at_start = {key: buckets for key, buckets in buckets_by_variant(before).items() if key != variant}
    others = dict(at_start)
    ranges, found = before, []
    for share in shares_bp:
        others = _shrunk(at_start, others, BUCKETS - share)
        weights = {**others, variant: share}
        ranges = [list(item) for item in reallocate(ranges, [(key, weights[key]) for key in order if weights.get(key)])]
        found.append(ranges)
    return found


def _shrunk(at_start: Mapping[str, int], now: Mapping[str, int], room: int) -> dict[str, int]:
    """The others' buckets in `room`. None of them ever grows, so that nobody moves between two of them."""
    if sum(now.values()) <= room:
        return dict(now)
    total = sum(at_start.values())
    shrunk = {key: room * buckets // total for key, buckets in at_start.items()}
    left = room - sum(shrunk.values())
    while left:
        for key, buckets in now.items():
            if left and shrunk[key] < buckets:
                shrunk[key] += 1
                left -= 1
    return shrunk


def share_of(ranges: Ranges, variant: str) -> int:
    """The variant's buckets."""
    return buckets_by_variant(ranges).get(variant, 0)
