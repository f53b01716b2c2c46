"""CUPED removes from a metric the variance that the same user's past explains.

The covariate is the same metric in the 14 days before the user's first exposure, 0 where missing, and never anything
after it: a covariate the treatment can touch would bias the effect.
"""

import math
from dataclasses import dataclass

from experiments.statistics.distributions import t_critical, t_two_sided
from experiments.statistics.estimates import Comparison, Estimate, Lift, compare, lift_of_difference
from experiments.statistics.summaries import NO_USERS, ZERO_CONTROL, PairedMoments


@dataclass(frozen=True, slots=True)
class CupedTest:
    """Adjusted difference in the metric's unit; `variance_reduction` is the share of its variance taken away."""

    theta: float | None
    diff: float | None
    se: float | None
    df: float | None
    t: float | None
    p_value: float | None
    ci_low: float | None
    ci_high: float | None
    variance_reduction: float | None
    lift: float | None
    lift_se: float | None
    lift_p_value: float | None
    lift_ci_low: float | None
    lift_ci_high: float | None
    reason: str | None = None


def pooled_theta(control: PairedMoments, treatment: PairedMoments) -> float:
    """cov(y, x) / var(x) over the users of both arms around one grand mean; 0 where the covariate does not vary."""
    both = control + treatment
    return both.c_xy / both.m2_x if both.m2_x > 0 else 0.0


def adjusted_variance(arm: PairedMoments, theta: float) -> float:
    """s_y^2 + theta^2 s_x^2 - 2 theta s_xy of one user, ddof = 1; 0 below two users."""
    return arm.variance_of(1, theta) or 0.0


def pooled_correlation(control: PairedMoments, treatment: PairedMoments) -> float | None:
    """Correlation of y and x over the users of both arms around one grand mean; None where either does not vary.

    Its square is the share of the variance that the past can take away.
    """
    both = control + treatment
    product = both.m2_x * both.m2_y
    return both.c_xy / math.sqrt(product) if product > 0 else None


def cuped_test(control: PairedMoments, treatment: PairedMoments, alpha: float = 0.05) -> CupedTest:
    """Difference of means of y - theta x, x the user's value before the experiment, with Welch's t.

    diff = (y_t - y_c) - theta (x_t - x_c); theta is treated as known, the loss being of order 1 / n. The lift divides
    by the unadjusted control mean |y_c|; its error is the delta method's, at r = y_t / y_c:
    lift_se^2 = (adjusted variance_t / n_t + (r^2 s_y^2 - 2 theta r s_xy + theta^2 s_x^2)_c / n_c) / y_c^2.
    Source: Deng, Xu, Kohavi and Walker 2013 (WSDM); the lift as in gbstats.
    """
    if control.n == 0 or treatment.n == 0:
        return CupedTest(*(None,) * 14, reason=NO_USERS)
    theta = pooled_theta(control, treatment)
    absolute = compare(_adjusted(control, theta), _adjusted(treatment, theta), alpha)
    if absolute.diff is None or absolute.se is None or absolute.df is None:
        return CupedTest(theta, absolute.diff, *(None,) * 12, reason=absolute.reason)
    plain = adjusted_variance(control, 0) / control.n + adjusted_variance(treatment, 0) / treatment.n
    lift = lift_se = lift_p_value = lift_low = lift_high = None
    baseline = control.mean_y
    if baseline != 0:
        lift = absolute.diff / abs(baseline)
        ratio = treatment.mean_y / baseline
        variance_c = (control.variance_of(ratio, theta) or 0.0) / control.n
        variance_t = adjusted_variance(treatment, theta) / treatment.n
        lift_se = math.sqrt(variance_t + variance_c) / abs(baseline)
        lift_p_value = t_two_sided(lift / lift_se, absolute.df) if lift_se > 0 else None
        reach = t_critical(alpha, absolute.df) * lift_se
        lift_low, lift_high = lift - reach, lift + reach
    return CupedTest(
        theta=theta,
        diff=absolute.diff,
        se=absolute.se,
        df=absolute.df,
        t=absolute.t,
        p_value=absolute.p_value,
        ci_low=absolute.ci_low,
        ci_high=absolute.ci_high,
        variance_reduction=1 - absolute.se**2 / plain if plain > 0 else None,
        lift=lift,
        lift_se=lift_se,
        lift_p_value=lift_p_value,
        lift_ci_low=lift_low,
        lift_ci_high=lift_high,
        reason=ZERO_CONTROL if baseline == 0 else None,
    )


def _adjusted(arm: PairedMoments, theta: float) -> Estimate:
    return Estimate(arm.mean_y - theta * arm.mean_x, adjusted_variance(arm, theta) / arm.n, arm.n)


def cuped_lift(control: PairedMoments, treatment: PairedMoments, alpha: float = 0.05) -> Lift:
    """The adjusted difference over the unadjusted control mean, with Fieller's interval: it agrees with the test.

    cov(difference, y_c) = -(s_y^2 - theta s_xy)_c / n_c. `se` is the delta method's, as in `cuped_test`.
    """
    found = cuped_test(control, treatment, alpha)
    if found.diff is None or found.se is None or found.theta is None or found.lift_se is None:
        return Lift(found.lift, None, None, None, None, "fieller", found.reason)
    absolute = Comparison(found.diff, found.se, found.df, found.t, found.p_value, found.ci_low, found.ci_high)
    baseline = Estimate(control.mean_y, adjusted_variance(control, 0) / control.n, control.n)
    covariance = -(control.m2_y - found.theta * control.c_xy) / (control.n - 1) / control.n
    return lift_of_difference(absolute, baseline, covariance, found.lift_se, alpha)
