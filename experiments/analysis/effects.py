"""Treatment against control for one metric, whatever its type, by the method of STATISTICS for that type."""

from dataclasses import dataclass

from experiments.analysis.measures import Arm
from experiments.models import Metric
from experiments.statistics.bayes import lift_posterior, proportion_posterior
from experiments.statistics.cuped import CupedTest, cuped_test
from experiments.statistics.estimates import Comparison, Estimate, Lift
from experiments.statistics.means import mean_estimate, mean_lift, welch_test
from experiments.statistics.proportions import proportion_interval, proportion_lift, proportion_test, unpooled_se
from experiments.statistics.quantiles import quantile_estimate, quantile_lift, quantile_test
from experiments.statistics.ratios import RatioTest, ratio_estimate, ratio_test
from experiments.statistics.summaries import PairedMoments

Interval = list[float] | None


@dataclass(slots=True)
class Effect:
    """As if one looked once: test, intervals and posterior. Every figure may be None, `reasons` say why.

    `se` is the standard error of `diff` not assuming that there is no effect, for intervals looked at often.
    """

    diff: float | None
    se: float | None
    p_value: float | None
    ci: Interval
    lift: float | None
    lift_ci: Interval
    prob_beat: float | None
    losses: tuple[float | None, float | None]
    credible: Interval
    credible_of: str
    reasons: list[str]
    variance_reduction: float | None = None


def effect(metric: Metric, control: Arm, treatment: Arm, alpha: float) -> Effect:
    found = _effect(metric, control, treatment, alpha)
    if metric.goal == Metric.Goal.DECREASE:
        # To beat the control is to be lower here, and shipping loses where the treatment is higher.
        found.prob_beat = None if found.prob_beat is None else 1 - found.prob_beat
        found.losses = (found.losses[1], found.losses[0])
    return found


def _effect(metric: Metric, control: Arm, treatment: Arm, alpha: float) -> Effect:
    if control.ratio is not None and treatment.ratio is not None:
        return _of_ratios(ratio_test(control.ratio, treatment.ratio, alpha), alpha)
    if control.quantile is not None and treatment.quantile is not None:
        level = metric.quantile or 0.5
        return _of_comparison(
            quantile_test(control.quantile, treatment.quantile, level, alpha),
            quantile_lift(control.quantile, treatment.quantile, level, alpha),
            alpha,
        )
    if control.covariate is not None and treatment.covariate is not None:
        adjusted = _of_cuped(control.covariate, treatment.covariate, alpha)
        if adjusted is not None:
            return adjusted
    if control.proportion is not None and treatment.proportion is not None:
        return _of_proportions(control, treatment, alpha)
    return _of_comparison(
        welch_test(control.moments, treatment.moments, alpha),
        mean_lift(control.moments, treatment.moments, alpha),
        alpha,
    )


def _of_proportions(arm_c: Arm, arm_t: Arm, alpha: float) -> Effect:
    control, treatment = arm_c.proportion, arm_t.proportion
    if control is None or treatment is None:
        raise ValueError("both arms of a binary metric are proportions")
    test = proportion_test(control, treatment)
    interval = proportion_interval(control, treatment, alpha)
    lift = proportion_lift(control, treatment, alpha)
    posterior = proportion_posterior(control, treatment, alpha=alpha)
    return Effect(
        diff=interval.diff,
        se=unpooled_se(control, treatment) if control.users and treatment.users else None,
        p_value=test.p_value,
        ci=_pair(interval.ci_low, interval.ci_high),
        lift=lift.lift,
        lift_ci=_pair(lift.ci_low, lift.ci_high),
        prob_beat=posterior.prob_beat,
        losses=(posterior.loss_treatment, posterior.loss_control),
        credible=_pair(posterior.ci_low, posterior.ci_high),
        credible_of="absoluteLift",
        reasons=_said(test.reason, interval.reason, lift.reason, posterior.reason),
    )


def _of_comparison(test: Comparison, lift: Lift, alpha: float, variance_reduction: float | None = None) -> Effect:
    posterior = lift_posterior(lift, alpha)
    return Effect(
        diff=test.diff,
        se=test.se,
        p_value=test.p_value,
        ci=_pair(test.ci_low, test.ci_high),
        lift=lift.lift,
        lift_ci=_pair(lift.ci_low, lift.ci_high),
        prob_beat=posterior.prob_beat,
        losses=(posterior.loss_treatment, posterior.loss_control),
        credible=_pair(posterior.ci_low, posterior.ci_high),
        credible_of="relativeLift",
        reasons=_said(test.reason, lift.reason, posterior.reason),
        variance_reduction=variance_reduction,
    )


def _of_ratios(found: RatioTest, alpha: float) -> Effect:
    test = Comparison(found.diff, found.se, found.df, None, found.p_value, found.ci_low, found.ci_high, found.reason)
    lift = Lift(found.lift, found.lift_se, found.lift_p_value, found.lift_ci_low, found.lift_ci_high)
    return _of_comparison(test, lift, alpha)


def _of_cuped(control: PairedMoments, treatment: PairedMoments, alpha: float) -> Effect | None:
    """None where the adjustment has no error to test with; then the unadjusted figures speak."""
    found: CupedTest = cuped_test(control, treatment, alpha)
    if found.se is None:
        return None
    test = Comparison(found.diff, found.se, found.df, found.t, found.p_value, found.ci_low, found.ci_high)
    lift = Lift(
        found.lift, found.lift_se, found.lift_p_value, found.lift_ci_low, found.lift_ci_high, reason=found.reason
    )
    return _of_comparison(test, lift, alpha, found.variance_reduction)


def estimate(metric: Metric, arm: Arm) -> Estimate | None:
    """An arm's figure with its variance, None where there is none: what a guardrail compares."""
    if arm.ratio is not None:
        return ratio_estimate(arm.ratio)
    if arm.quantile is not None:
        return quantile_estimate(arm.quantile, metric.quantile or 0.5) if arm.quantile.n > 1 else None
    return mean_estimate(arm.moments) if arm.users else None


def _said(*reasons: str | None) -> list[str]:
    return list(dict.fromkeys(reason for reason in reasons if reason))


def _pair(low: float | None, high: float | None) -> Interval:
    return None if low is None or high is None else [low, high]
