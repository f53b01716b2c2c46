"""The effect of a treatment against the control. Each metric type computes it by its own method."""

from dataclasses import dataclass

from experiments.payloads import Limits
from experiments.statistics.bayes import lift_posterior
from experiments.statistics.estimates import Comparison, Lift


@dataclass(slots=True)
class Effect:
    """The test, intervals and posterior of a single look. Every figure may be None; `reasons` say why.

    `se` is the standard error of `diff` that does not assume "no effect"; sequential intervals need it.
    """

    diff: float | None
    se: float | None
    p_value: float | None
    ci: Limits
    lift: float | None
    lift_ci: Limits
    prob_beat: float | None
    losses: tuple[float | None, float | None]
    credible: Limits
    credible_of: str
    reasons: list[str]
    variance_reduction: float | None = None

    def with_goal_reversed(self) -> "Effect":
        """For a metric whose goal is to decrease: lower beats the control, and shipping loses where it is higher."""
        self.prob_beat = None if self.prob_beat is None else 1 - self.prob_beat
        self.losses = (self.losses[1], self.losses[0])
        return self


def effect_of_comparison(test: Comparison, lift: Lift, alpha: float, variance_reduction: float | None = None) -> Effect:
    posterior = lift_posterior(lift, alpha)
    return Effect(
        diff=test.diff,
        se=test.se,
        p_value=test.p_value,
        ci=limits(test.ci_low, test.ci_high),
        lift=lift.lift,
        lift_ci=limits(lift.ci_low, lift.ci_high),
        prob_beat=posterior.prob_beat,
        losses=(posterior.loss_treatment, posterior.loss_control),
        credible=limits(posterior.ci_low, posterior.ci_high),
        credible_of="relativeLift",
        reasons=distinct(test.reason, lift.reason, posterior.reason),
        variance_reduction=variance_reduction,
    )


def distinct(*reasons: str | None) -> list[str]:
    """The reasons that were given, each once."""
    return list(dict.fromkeys(reason for reason in reasons if reason))


def limits(low: float | None, high: float | None) -> Limits:
    return None if low is None or high is None else [low, high]
