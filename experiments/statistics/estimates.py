"""Comparisons of two estimates with errors by Welch's t, for means, ratios, adjusted means and quantiles."""

import math
from dataclasses import dataclass

from experiments.statistics.distributions import require_alpha, t_critical, t_two_sided
from experiments.statistics.summaries import NO_VARIANCE, TOO_FEW_USERS, ZERO_CONTROL


@dataclass(frozen=True, slots=True)
class Estimate:
    """One arm's figure, the variance of that figure (not of a user), and the units behind it."""

    value: float
    variance: float
    n: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Treatment minus control, in the metric's unit."""

    diff: float | None
    se: float | None
    df: float | None
    t: float | None
    p_value: float | None
    ci_low: float | None
    ci_high: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Lift:
    """Treatment against control as a fraction of the size of the control's figure."""

    lift: float | None
    se: float | None
    p_value: float | None
    ci_low: float | None
    ci_high: float | None
    method: str = "delta"
    reason: str | None = None


def welch_df(control: Estimate, treatment: Estimate) -> float:
    """Welch-Satterthwaite degrees of freedom: (v_c + v_t)^2 / (v_c^2 / (n_c - 1) + v_t^2 / (n_t - 1))."""
    # Shares of the total instead of squares of tiny variances, which underflow.
    total = control.variance + treatment.variance
    share_c, share_t = control.variance / total, treatment.variance / total
    return 1 / (share_c**2 / (control.n - 1) + share_t**2 / (treatment.n - 1))


def compare(control: Estimate, treatment: Estimate, alpha: float) -> Comparison:
    """Two-sided Welch t-test and interval: t = diff / sqrt(v_c + v_t). Source: Welch 1947, Biometrika 34, 28-35."""
    require_alpha(alpha)
    diff = treatment.value - control.value
    if control.n < 2 or treatment.n < 2:
        return Comparison(diff, None, None, None, None, None, None, TOO_FEW_USERS)
    variance = control.variance + treatment.variance
    if variance <= 0:
        return Comparison(diff, None, None, None, None, None, None, NO_VARIANCE)
    se, df = math.sqrt(variance), welch_df(control, treatment)
    reach = t_critical(alpha, df) * se
    return Comparison(diff, se, df, diff / se, t_two_sided(diff / se, df), diff - reach, diff + reach)


def relative_variance(control: Estimate, treatment: Estimate) -> float:
    """First-order delta method for independent arms: v_t / c^2 + v_c t^2 / c^4, c and t the arms' figures."""
    return (treatment.variance + control.variance * (treatment.value / control.value) ** 2) / control.value**2


def delta_lift(control: Estimate, treatment: Estimate, alpha: float) -> Lift:
    """(t - c) / |c| with the delta method's error, and Welch's t with the degrees of freedom of the difference.

    Dividing by the size of c keeps the lift's sign that of the difference where c is negative.
    Source: Deng, Knoblich and Lu 2018, Applying the delta method in metric analytics (KDD).
    """
    require_alpha(alpha)
    if control.value == 0:
        return Lift(None, None, None, None, None, reason=ZERO_CONTROL)
    lift = (treatment.value - control.value) / abs(control.value)
    if control.n < 2 or treatment.n < 2:
        return Lift(lift, None, None, None, None, reason=TOO_FEW_USERS)
    variance = relative_variance(control, treatment)
    if variance <= 0:
        return Lift(lift, None, None, None, None, reason=NO_VARIANCE)
    se, df = math.sqrt(variance), welch_df(control, treatment)
    reach = t_critical(alpha, df) * se
    return Lift(lift, se, t_two_sided(lift / se, df), lift - reach, lift + reach)


def fieller_lift(control: Estimate, treatment: Estimate, alpha: float) -> Lift:
    """Lift with Fieller's interval, which stays honest where the control's figure is close to 0 for its error.

    With r = t / c and g = k^2 v_c / c^2 (k the t critical value), the limits of r are
    (r -/+ (k / |c|) sqrt(v_t (1 - g) + r^2 v_c)) / (1 - g); they exclude no effect exactly when Welch's test does,
    whose p-value is given. With g >= 1 the set of plausible lifts is unbounded: None.
    Source: Fieller 1954, JRSS B 16, 175-185.
    """
    require_alpha(alpha)
    if control.value == 0:
        return Lift(None, None, None, None, None, "fieller", ZERO_CONTROL)
    lift = (treatment.value - control.value) / abs(control.value)
    absolute = compare(control, treatment, alpha)
    if absolute.df is None:
        return Lift(lift, None, None, None, None, "fieller", absolute.reason)
    critical = t_critical(alpha, absolute.df)
    g = critical**2 * control.variance / control.value**2
    if g >= 1:
        reason = "the control mean cannot be told from 0, so no lift can be bounded"
        return Lift(lift, None, absolute.p_value, None, None, "fieller", reason)
    ratio = treatment.value / control.value
    reach = critical / abs(control.value) * math.sqrt(treatment.variance * (1 - g) + ratio**2 * control.variance)
    low, high = (ratio - reach) / (1 - g) - 1, (ratio + reach) / (1 - g) - 1
    if control.value < 0:
        low, high = -high, -low
    return Lift(lift, None, absolute.p_value, low, high, "fieller")
