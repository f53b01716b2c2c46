"""Guardrails: tests that a metric did not get worse by a margin that is fixed before the start.

The hypothesis to reject is "worse by at least the margin", one-sided, so with too few users a guardrail does not
pass. Every guardrail must pass, so none is corrected for the others.
"""

import math
from dataclasses import dataclass

from experiments.statistics.distributions import (
    normal_critical,
    normal_sf,
    require_alpha,
    t_critical,
    t_sf,
)
from experiments.statistics.estimates import delta_lift
from experiments.statistics.means import mean_estimate, welch_test
from experiments.statistics.proportions import unpooled_se
from experiments.statistics.summaries import NO_USERS, NO_VARIANCE, Moments, Proportion


@dataclass(frozen=True, slots=True)
class NonInferiority:
    """`bound`: the worst difference still plausible, one-sided; `statistic` is signed as the difference."""

    diff: float | None
    statistic: float | None
    p_value: float | None
    bound: float | None
    passed: bool | None
    reason: str | None = None


def _require_margin(margin: float) -> None:
    if not 0 < margin < math.inf:
        raise ValueError(f"a guardrail's margin must be finite and above 0, got {margin}")


def _judge(
    diff: float, se: float, df: float | None, margin: float, alpha: float, *, higher_is_better: bool
) -> NonInferiority:
    worse = -1 if higher_is_better else 1
    statistic = (diff - worse * margin) / se
    distance = -worse * statistic
    p_value = normal_sf(distance) if df is None else t_sf(distance, df)
    critical = normal_critical(alpha, sides=1) if df is None else t_critical(alpha, df, sides=1)
    return NonInferiority(diff, statistic, p_value, diff + worse * critical * se, p_value < alpha)


def noninferiority_mean(
    control: Moments, treatment: Moments, margin: float, *, higher_is_better: bool, alpha: float = 0.05
) -> NonInferiority:
    """One-sided Welch t on the difference of means; `margin` > 0 in the metric's unit.

    Higher is better: t = (diff + margin) / SE, p = P(T > t), bound = diff - t_{1-alpha} SE, passing above -margin.
    Lower is better: t = (diff - margin) / SE, p = P(T < t), bound = diff + t_{1-alpha} SE, passing below +margin.
    Source: Wellek 2010, Testing Statistical Hypotheses of Equivalence and Noninferiority, ch. 2.
    """
    _require_margin(margin)
    absolute = welch_test(control, treatment, alpha)
    if absolute.diff is None or absolute.se is None:
        return NonInferiority(absolute.diff, None, None, None, None, absolute.reason)
    return _judge(absolute.diff, absolute.se, absolute.df, margin, alpha, higher_is_better=higher_is_better)


def noninferiority_proportion(
    control: Proportion, treatment: Proportion, margin: float, *, higher_is_better: bool, alpha: float = 0.05
) -> NonInferiority:
    """As `noninferiority_mean` for rates: unpooled z, `margin` in rate points (0.01 is one point)."""
    _require_margin(margin)
    require_alpha(alpha)
    if control.users == 0 or treatment.users == 0:
        return NonInferiority(None, None, None, None, None, NO_USERS)
    diff = treatment.conversions / treatment.users - control.conversions / control.users
    se = unpooled_se(control, treatment)
    if se == 0:
        return NonInferiority(diff, None, None, None, None, NO_VARIANCE)
    return _judge(diff, se, None, margin, alpha, higher_is_better=higher_is_better)


def noninferiority_lift(
    control: Moments, treatment: Moments, margin: float, *, higher_is_better: bool, alpha: float = 0.05
) -> NonInferiority:
    """As `noninferiority_mean` on the relative lift: delta-method error, Welch's t; `margin` a fraction of control."""
    _require_margin(margin)
    if control.n == 0 or treatment.n == 0:
        return NonInferiority(None, None, None, None, None, NO_USERS)
    relative = delta_lift(mean_estimate(control), mean_estimate(treatment), alpha)
    absolute = welch_test(control, treatment, alpha)
    if relative.lift is None or relative.se is None or not math.isfinite(relative.se):
        return NonInferiority(relative.lift, None, None, None, None, relative.reason)
    return _judge(relative.lift, relative.se, absolute.df, margin, alpha, higher_is_better=higher_is_better)
