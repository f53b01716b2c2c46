"""Quantiles such as the 95th percentile of latency: each arm's interval, and the difference between arms.

Events of one user resemble each other. Without the cluster factor 23 % of experiments without a difference would show
one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from experiments.statistics.distributions import Floats, finite_floats, normal_critical, require_alpha, require_finite
from experiments.statistics.estimates import Comparison, Estimate, Lift, compare, fieller_lift
from experiments.statistics.ratios import linearised_variance, ratio_estimate
from experiments.statistics.summaries import NO_USERS, PairedMoments

PROBE_Z = normal_critical(0.05)
# Mass at the quantile that its error no longer hides, in standard errors of the share. With half of one the quantile's
# test keeps its level; from about one on, its outer interval steps from one value to the next.
TIED_FROM = 0.5


@dataclass(frozen=True, slots=True)
class QuantileInterval:
    estimate: float | None
    ci_low: float | None
    ci_high: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Ties:
    """One arm about `value`, the quantile of all arms' values together: `mass` is the share of them that equal it.

    `users` (y: events above it, x: events, per user).
    """

    value: float
    mass: float
    users: PairedMoments


@dataclass(frozen=True, slots=True)
class QuantileSummary:
    """One arm's n values, their q quantile, and the values at `probe_levels(n, q)`.

    `users` (y: events at or below the quantile, x: events, per user) where several values may come from one user;
    `ties` where all arms' values are known.
    """

    n: float
    q_hat: float
    q_low: float
    q_high: float
    users: PairedMoments | None = None
    ties: Ties | None = None

    def __post_init__(self) -> None:
        require_finite(self.n, self.q_hat, self.q_low, self.q_high)


def _require_level(q: float) -> None:
    if not 0 < q < 1:
        raise ValueError(f"a quantile's level lies strictly between 0 and 1, got {q}")


def order_ranks(n: int, q: float, alpha: float = 0.05) -> tuple[int | None, int | None]:
    """Ranks (from 0) in the sorted values whose interval covers the quantile with at least 1 - alpha; None: no rank.

    Low: B^-1(alpha / 2) - 1, high: the smallest k with P(B > k) <= alpha / 2, B ~ Binomial(n, q): exact, conservative.
    Source: Conover 1999, Practical Nonparametric Statistics, ch. 3.2.
    """
    _require_level(q)
    require_alpha(alpha)
    tail = alpha / 2
    low = high = math.ceil(n * q)
    while low > 0 and scipy.special.bdtr(low - 1, n, q) >= tail:
        low -= 1
    while high > 0 and scipy.special.bdtrc(high - 1, n, q) <= tail:
        high -= 1
    while high < n and scipy.special.bdtrc(high, n, q) > tail:
        high += 1
    return (low - 1 if low > 0 else None), (high if high < n else None)


def quantile_interval(values: "Sequence[float] | Floats", q: float, alpha: float = 0.05) -> QuantileInterval:
    """One arm's quantile (type 7, SQL's PERCENTILE_CONT) with its interval from order statistics, in the values' unit.

    Distribution-free for independent values. A limit for which no rank exists is None: at q = 0.95 an upper limit needs
    72 values. Source: Hyndman and Fan 1996 for the estimate; Conover 1999, ch. 3.2 for the interval.
    """
    array = np.sort(finite_floats(values))
    low, high = order_ranks(array.size, q, alpha)
    if array.size == 0:
        return QuantileInterval(None, None, None, NO_USERS)
    return QuantileInterval(
        estimate=float(np.quantile(array, q)),
        ci_low=None if low is None else float(array[low]),
        ci_high=None if high is None else float(array[high]),
        reason="too few values for a limit on one side" if low is None or high is None else None,
    )


def probe_levels(n: float, q: float) -> tuple[float, float]:
    """Levels to read `q_low` and `q_high` at, within [0, 1]: q -/+ 1.96 sqrt(q (1 - q) / n)."""
    _require_level(q)
    reach = PROBE_Z * math.sqrt(q * (1 - q) / n)
    return max(0.0, q - reach), min(1.0, q + reach)


def has_enough_values(n: float, q: float) -> bool:
    """n >= 4 q / (1 - q), and the mirror of it for low quantiles: below, the probes leave [0, 1]."""
    odds = q / (1 - q)
    return n >= 4 * max(odds, 1 / odds)


def cluster_factor(users: PairedMoments, n: float, q: float) -> float:
    """Delta-method variance of the share of events at or below the quantile, users as units, over q (1 - q) / n."""
    return (linearised_variance(users) or 0.0) / users.n / (q * (1 - q) / n)


def quantile_estimate(arm: QuantileSummary, q: float) -> Estimate:
    """Quantile with variance (n - 1) / n ((q_high - q_low) / (2 * 1.96))^2, times the cluster factor with `users`."""
    variance = (arm.n - 1) / arm.n * ((arm.q_high - arm.q_low) / (2 * PROBE_Z)) ** 2
    if arm.users is not None:
        variance *= cluster_factor(arm.users, arm.n, q)
    return Estimate(arm.q_hat, variance, arm.n)


def _reason_to_refuse(arms: tuple[QuantileSummary, ...], q: float) -> str | None:
    _require_level(q)
    if any(arm.n == 0 for arm in arms):
        return NO_USERS
    if not all(has_enough_values(arm.n, q) for arm in arms):
        return f"too few values for the {q:g} quantile: at least 4q/(1-q) in each arm"
    if any(arm.users is not None and arm.users.n < 2 for arm in arms):
        return "an arm's values come from fewer than two users"
    return None


def quantile_test(control: QuantileSummary, treatment: QuantileSummary, q: float, alpha: float = 0.05) -> Comparison:
    """Difference of two quantiles in the values' unit, Welch's t on `quantile_estimate`.

    The variance comes from the outer interval of each arm, so no density is estimated.
    Source: Deng, Knoblich and Lu 2018 (KDD), section 4, with the cluster correction of their eq. 12.
    """
    reason = _reason_to_refuse((control, treatment), q)
    if reason is not None:
        diff = treatment.q_hat - control.q_hat if control.n and treatment.n else None
        return Comparison(diff, None, None, None, None, None, None, reason)
    return compare(quantile_estimate(control, q), quantile_estimate(treatment, q), alpha)


def quantile_lift(control: QuantileSummary, treatment: QuantileSummary, q: float, alpha: float = 0.05) -> Lift:
    """Relative change of the quantile, `estimates.fieller_lift` on `quantile_estimate`."""
    reason = _reason_to_refuse((control, treatment), q)
    if reason is not None:
        return Lift(None, None, None, None, None, reason=reason)
    return fieller_lift(quantile_estimate(control, q), quantile_estimate(treatment, q), alpha)


def is_tied(control: QuantileSummary, treatment: QuantileSummary) -> bool:
    """Whether so many values equal the quantile that its error cannot be read off the values around it.

    More than `TIED_FROM` standard errors of the share above it, of the arm whose share is known better. Then both arms
    often have the same quantile whatever the effect, and a step apart is no step of chance: the test of the quantile
    finds a difference in 14 to 37 % of experiments without one, or in none.
    """
    if control.ties is None or treatment.ties is None:
        return False
    errors = [
        math.sqrt((linearised_variance(arm.users) or 0.0) / arm.users.n) for arm in (control.ties, treatment.ties)
    ]
    return control.ties.mass > TIED_FROM * min(errors)


def share_above(arm: QuantileSummary) -> Estimate | None:
    """Share of an arm's events above the pooled quantile, users as units (delta method); None without events."""
    return None if arm.ties is None else ratio_estimate(arm.ties.users)


def tied_test(
    control: QuantileSummary, treatment: QuantileSummary, q: float, alpha: float = 0.05
) -> tuple[Comparison, Lift]:
    """Difference and lift of the shares above the pooled quantile: what to compare where `is_tied`.

    It has the sign of a difference of the quantiles. Refused where no value of either arm lies above: then the quantile
    is the largest value. Source: Woodruff 1952, JASA 47, 635-646; the clusters as in `ratios.ratio_test`.
    """
    share_c, share_t = share_above(control), share_above(treatment)
    reason = _reason_to_refuse((control, treatment), q)
    if reason is None and share_c is not None and share_t is not None and share_c.value == share_t.value == 0:
        reason = "the quantile is the largest value of both arms, so no share above it can be compared"
    if reason is not None or share_c is None or share_t is None:
        undefined = Comparison(None, None, None, None, None, None, None, reason or NO_USERS)
        return undefined, Lift(None, None, None, None, None)
    return compare(share_c, share_t, alpha), fieller_lift(share_c, share_t, alpha)


def planning_sd(arm: QuantileSummary, q: float) -> float:
    """sqrt(variance * units): what `power` takes as a standard deviation. Units are users where there are any."""
    units = arm.n if arm.users is None else arm.users.n
    return math.sqrt(quantile_estimate(arm, q).variance * units)
