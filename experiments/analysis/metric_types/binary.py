"""The share of users with at least one event."""

from dataclasses import replace

import numpy as np

from analytics.selectors import Kind
from experiments.analysis.arms import Arm
from experiments.analysis.effects import Effect, distinct, limits
from experiments.analysis.metric_types.per_user import PerUserType
from experiments.analysis.metric_types.power import RatePower
from experiments.statistics.bayes import proportion_posterior
from experiments.statistics.distributions import Floats
from experiments.statistics.proportions import proportion_interval, proportion_lift, proportion_test, unpooled_se
from experiments.statistics.summaries import Moments, Proportion


class Binary(PerUserType):
    """A rate: pooled z test, intervals for proportions, a beta posterior."""

    key = "binary"
    label = "Binary (share of users)"
    is_rate = True
    kind = Kind.CONVERTED
    power = RatePower()

    def user_figures(self, sums: Floats, counts: Floats) -> Floats:  # noqa: ARG002 - of values nothing is asked
        return (counts > 0).astype(np.float64)

    def arm_of_users(self, arm: Arm, total: float) -> Arm:
        return replace(arm, proportion=Proportion(total, arm.users))

    def compare_unadjusted(self, control: Arm, treatment: Arm, alpha: float) -> Effect:
        before, after = control.proportion, treatment.proportion
        if before is None or after is None:
            raise ValueError("both arms of a binary metric are proportions")
        test = proportion_test(before, after)
        interval = proportion_interval(before, after, alpha)
        lift = proportion_lift(before, after, alpha)
        posterior = proportion_posterior(before, after, alpha=alpha)
        return Effect(
            diff=interval.diff,
            se=unpooled_se(before, after) if control.users and treatment.users else None,
            p_value=test.p_value,
            ci=limits(interval.ci_low, interval.ci_high),
            lift=lift.lift,
            lift_ci=limits(lift.ci_low, lift.ci_high),
            prob_beat=posterior.prob_beat,
            losses=(posterior.loss_treatment, posterior.loss_control),
            credible=limits(posterior.ci_low, posterior.ci_high),
            credible_of="absoluteLift",
            reasons=distinct(test.reason, interval.reason, lift.reason, posterior.reason),
        )

    def p_value(self, control: Moments, treatment: Moments) -> float | None:
        # Sums of differences from the mean come back as whole numbers only nearly.
        arms = (Proportion(float(round(arm.total)), arm.n) for arm in (control, treatment))
        return proportion_test(*arms).p_value
