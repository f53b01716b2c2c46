"""Tests of means per user by Welch, and the relative lift by the delta method or Fieller's."""

from experiments.statistics.estimates import Comparison, Estimate, Lift, compare, delta_lift, fieller_lift
from experiments.statistics.summaries import NO_USERS, Moments

NOISY_CONTROL = 0.2


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


def mean_lift(control: Moments, treatment: Moments, alpha: float = 0.05, method: str = "auto") -> Lift:
    """Relative lift (m_t - m_c) / |m_c|, a fraction.

    delta: `estimates.delta_lift`; fieller: `estimates.fieller_lift`; auto: fieller where the control mean's standard
    error is above 0.2 of the mean (there the delta method's symmetric interval misleads), else delta.
    """
    if method not in {"auto", "delta", "fieller"}:
        raise ValueError(f"unknown lift interval {method!r}: auto, delta or fieller")
    if control.n == 0 or treatment.n == 0:
        return Lift(None, None, None, None, None, "delta" if method == "auto" else method, NO_USERS)
    estimate_c, estimate_t = mean_estimate(control), mean_estimate(treatment)
    if method == "auto":
        is_noisy = estimate_c.variance > (NOISY_CONTROL * estimate_c.value) ** 2
        method = "fieller" if is_noisy else "delta"
    return (fieller_lift if method == "fieller" else delta_lift)(estimate_c, estimate_t, alpha)
