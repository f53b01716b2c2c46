"""Guardrails: tests that a metric did not get worse by a margin that is fixed before the start.

The hypothesis to reject is "worse by at least the margin", one-sided, so with too few users a guardrail does not
pass. Every guardrail must pass, so none is corrected for the others.
"""

import math
from dataclasses import dataclass

from experiments.statistics.always_valid import asymptotic_sequence
from experiments.statistics.distributions import (
    normal_critical,
    normal_sf,
    require_alpha,
    t_critical,
    t_sf,
)
from experiments.statistics.estimates import Estimate, delta_lift, fieller_lift, welch_df
from experiments.statistics.means import mean_estimate, welch_test
from experiments.statistics.proportions import unpooled_se
from experiments.statistics.summaries import (
    NO_USERS,
    NO_VARIANCE,
    TOO_FEW_USERS,
    ZERO_CONTROL,
    Moments,
    Proportion,
)

FEWEST_USERS = 100
FEWEST_CONVERSIONS = 25


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


def noninferiority_contrast(
    control: Estimate, treatment: Estimate, margin: float, *, higher_is_better: bool, alpha: float = 0.05
) -> NonInferiority:
    """Is the treatment shown to be worse by less than `margin`, a fraction of the control's figure?

    The contrast is m_t - (1 + w margin) m_c, w = -1 where higher is better and +1 where lower is, tested one-sided by
    Welch's t with se^2 = v_t + (1 + w margin)^2 v_c. No ratio is formed, so rare and heavy-tailed metrics keep the
    level: at the margin the delta method on the lift passes 8 to 12 % of harms instead of 5 %. A control figure below 0
    turns w around. `diff` is the lift and `bound` its worst plausible value by Fieller, both None where they do not
    exist. Source: Hauschke, Kieser and Hothorn 1999, Biometrical Journal 41, 295-304 (Sasabuchi's contrast).
    """
    _require_margin(margin)
    require_alpha(alpha)
    if control.value == 0:
        return NonInferiority(None, None, None, None, None, ZERO_CONTROL)
    lift = (treatment.value - control.value) / abs(control.value)
    if control.n < 2 or treatment.n < 2:
        return NonInferiority(lift, None, None, None, None, TOO_FEW_USERS)
    worse = -1 if higher_is_better else 1
    scale = 1 + worse * margin * math.copysign(1.0, control.value)
    shifted = Estimate(scale * control.value, scale**2 * control.variance, control.n)
    variance = shifted.variance + treatment.variance
    if variance <= 0:
        return NonInferiority(lift, None, None, None, None, NO_VARIANCE)
    statistic = (treatment.value - shifted.value) / math.sqrt(variance)
    p_value = t_sf(-worse * statistic, welch_df(shifted, treatment))
    limits = fieller_lift(control, treatment, 2 * alpha)
    bound = limits.ci_low if higher_is_better else limits.ci_high
    return NonInferiority(lift, statistic, p_value, bound, p_value < alpha)


@dataclass(frozen=True, slots=True)
class Harm:
    """`bound`: the smallest harm that is shown, in the metric's unit and signed as the difference; 0 shows none."""

    is_shown: bool | None
    bound: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class GuardedArm:
    """One arm's figure, with its users and how many of them have a value other than 0 (or events, for quantiles)."""

    estimate: Estimate
    users: float
    conversions: float


def harm_shown(
    control: GuardedArm,
    treatment: GuardedArm,
    margin: float,
    n_tune: float,
    *,
    higher_is_better: bool,
    alpha: float = 0.05,
) -> Harm:
    """Is the treatment shown to be worse, at every look together, and by more than the margin as it stands?

    A one-sided asymptotic confidence sequence on the absolute difference (`always_valid.asymptotic_sequence`) has to
    exclude "no harm", and the present difference has to be beyond `margin`, a fraction of the control's figure. The
    sequence rests on a central limit theorem, so arms below 100 users or 25 conversions get no judgement: None.
    """
    _require_margin(margin)
    if min(control.users, treatment.users) < FEWEST_USERS:
        return Harm(None, None, f"harm is judged from {FEWEST_USERS} users an arm on")
    if min(control.conversions, treatment.conversions) < FEWEST_CONVERSIONS:
        return Harm(None, None, f"harm is judged from {FEWEST_CONVERSIONS} conversions an arm on")
    diff = treatment.estimate.value - control.estimate.value
    se = math.sqrt(control.estimate.variance + treatment.estimate.variance)
    users = control.users + treatment.users
    found = asymptotic_sequence(diff, se, users, n_tune, alpha=alpha, sides=1)
    if found.lower_bound is None or found.upper_bound is None:
        return Harm(None, None, found.reason)
    tolerated = margin * abs(control.estimate.value)
    if higher_is_better:
        return Harm(found.upper_bound < 0 and diff < -tolerated, min(0.0, found.upper_bound))
    return Harm(found.lower_bound > 0 and diff > tolerated, max(0.0, found.lower_bound))
