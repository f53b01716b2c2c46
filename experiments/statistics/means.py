"""Tests of means per user by Welch, and the relative lift by Fieller's or the delta method."""

from experiments.statistics.estimates import Comparison, Estimate, Lift, compare, delta_lift, fieller_lift
from experiments.statistics.summaries import NO_USERS, Moments


def mean_estimate(arm: Moments) -> Estimate:
    """An arm's mean with its variance s^2 / n; the arm must have users."""
    return Estimate(arm.mean, (arm.variance or 0.0) / arm.n, arm.n)


def welch_test(control: Moments, treatment: Moments, alpha: float = 0.05) -> Comparison:
    """Difference of two means, in the metric's unit, without assuming equal variances.

    t = (m_t - m_c) / sqrt(s_c^2 / n_c + s_t^2 / n_t), s^2 with n - 1, Welch-Satterthwaite df, two-sided.
    None below two users an arm, or where neither arm varies. Source: Welch 1947, Biometrika 34, 28-35.
    """
    if control.n == 0 or treatment.n == 0:
        return Comparison(None, None, None, None, None, None, None, NO_USERS)
    return compare(mean_estimate(control), mean_estimate(treatment), alpha)


def mean_lift(control: Moments, treatment: Moments, alpha: float = 0.05, method: str = "fieller") -> Lift:
    """Relative lift (m_t - m_c) / |m_c|, a fraction.

    fieller: `estimates.fieller_lift`, whose interval agrees with Welch's p-value; delta: `estimates.delta_lift`, the
    symmetric interval that other packages print.
    """
    if method not in {"delta", "fieller"}:
        raise ValueError(f"unknown lift interval {method!r}: delta or fieller")
    if control.n == 0 or treatment.n == 0:
        return Lift(None, None, None, None, None, method, NO_USERS)
    lift = fieller_lift if method == "fieller" else delta_lift
    return lift(mean_estimate(control), mean_estimate(treatment), alpha)
