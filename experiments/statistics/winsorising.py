"""Caps on extreme users: one cap for all arms, from the pooled user totals. Users are capped, not dropped."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.statistics.distributions import Floats, finite_floats
from experiments.statistics.summaries import Moments

UPPER_QUANTILE = 0.999


@dataclass(frozen=True, slots=True)
class CappedArm:
    """An arm after capping: what to analyse, and how many of its users were capped."""

    moments: Moments
    total: float
    squares: float
    n_capped: int

    @property
    def share_capped(self) -> float | None:
        return self.n_capped / self.moments.n if self.moments.n else None


@dataclass(frozen=True, slots=True)
class Winsorised:
    """Caps in the metric's unit; None where there is no cap, then `reason` says why one was refused."""

    cap_low: float | None
    cap_high: float | None
    arms: tuple[CappedArm, ...]
    reason: str | None = None


def winsorise(
    arms: "Sequence[Sequence[float] | Floats]",
    upper_q: float | None = UPPER_QUANTILE,
    lower_q: float | None = None,
    *,
    ignore_zeros: bool = True,
) -> Winsorised:
    """Caps at quantiles (type 7) of the pooled user totals of all arms, the same in every arm.

    With `ignore_zeros` the quantiles are of non-zero totals, since most users have none; the zeros stay in the metric.
    An upper cap of 0 or below would erase the metric: refused, nothing is capped. Totals come first, capping after.
    Source: Dixon 1960, Ann. Math. Statist. 31, 385-391; Kohavi, Tang and Xu 2020, ch. 22.
    """
    for level in (upper_q, lower_q):
        if level is not None and not 0 < level < 1:
            raise ValueError(f"a cap's quantile lies strictly between 0 and 1, got {level}")
    totals = [finite_floats(arm) for arm in arms]
    pooled = np.concatenate(totals) if totals else np.zeros(0)
    if ignore_zeros:
        pooled = pooled[pooled != 0]
    cap_low = cap_high = reason = None
    if pooled.size == 0:
        reason = "no user has a value to take a cap from"
    else:
        cap_high = None if upper_q is None else float(np.quantile(pooled, upper_q))
        cap_low = None if lower_q is None else float(np.quantile(pooled, lower_q))
    if cap_high is not None and cap_high <= 0:
        cap_low = cap_high = None
        reason = "the cap would be 0 and erase the metric, so nothing is capped"
    return Winsorised(cap_low, cap_high, tuple(_capped(arm, cap_low, cap_high) for arm in totals), reason)


def _capped(values: Floats, cap_low: float | None, cap_high: float | None) -> CappedArm:
    low, high = -np.inf if cap_low is None else cap_low, np.inf if cap_high is None else cap_high
    kept = np.clip(values, low, high)
    n_capped = int(np.count_nonzero((values < low) | (values > high)))
    return CappedArm(Moments.from_values(kept), float(kept.sum()), float((kept * kept).sum()), n_capped)
