"""The share of users with at least one event."""

from dataclasses import replace

import numpy as np

from analytics.selectors import Kind
from experiments.analysis.arms import Arm
from experiments.analysis.effects import Effect, Posterior, as_posterior, distinct, flat_posterior, limits
from experiments.analysis.metric_types.per_user import PerUserType
from experiments.analysis.metric_types.power import RatePower
from experiments.statistics.bayes import proportion_posterior
from experiments.statistics.distributions import Floats
from experiments.statistics.proportions import proportion_interval, proportion_lift, proportion_test, unpooled_se
from experiments.statistics.summaries import Moments, Proportion


class Binary(PerUserType):
    """A rate: pooled z test, intervals for proportions, a beta posterior (flat on each rate)."""

    key = "binary"
    label = "Binary (share of users)"
    is_rate = True
    kind = Kind.CONVERTED
    uncapped = "not winsorised: a user counts 0 or 1"
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
        lift_se = proportion_lift(before, after, alpha, method="delta").se
        return Effect(
            diff=interval.diff,
            se=unpooled_se(before, after) if control.users and treatment.users else None,
            p_value=test.p_value,
            ci=limits(interval.ci_low, interval.ci_high),
            lift=lift.lift,
            lift_se=lift_se,
            lift_ci=limits(lift.ci_low, lift.ci_high),
            reasons=distinct(test.reason, interval.reason, lift.reason),
        )

    def flat_posterior(self, control: Arm, treatment: Arm, found: Effect, alpha: float) -> Posterior:
        if found.cuped is not None or control.proportion is None or treatment.proportion is None:
            return flat_posterior(found, alpha)
        return as_posterior(proportion_posterior(control.proportion, treatment.proportion, alpha=alpha), found)

    def p_value(self, control: Moments, treatment: Moments) -> float | None:
        # Sums of differences from the mean come back as whole numbers only nearly.
        arms = (Proportion(float(round(arm.total)), arm.n) for arm in (control, treatment))
        return proportion_test(*arms).p_value
