"""The effect of a treatment against the control. Each metric type computes it by its own method."""

from dataclasses import dataclass

from experiments.payloads import CupedHealth, Limits, PriorResult
from experiments.statistics.bayes import NormalPosterior, ProportionPosterior, lift_posterior, normal_posterior
from experiments.statistics.bayes import prior_weight as weight_of_prior
from experiments.statistics.estimates import Comparison, Lift

# What a difference is of: the metric's figure, or the share of events above the quantile where that is tied.
FIGURE = "figure"
SHARE_ABOVE = "shareAbove"
ABSOLUTE = "absoluteLift"
RELATIVE = "relativeLift"


@dataclass(frozen=True, slots=True)
class Effect:
    """The test and intervals of a single look. Every figure may be None; `reasons` say why.

    `se` is the standard error of `diff` that does not assume "no effect"; sequential intervals need it. `lift_se` is
    the lift's by the delta method.
    """

    diff: float | None
    se: float | None
    p_value: float | None
    ci: Limits
    lift: float | None
    lift_se: float | None
    lift_ci: Limits
    reasons: list[str]
    of: str = FIGURE
    cuped: CupedHealth | None = None


@dataclass(frozen=True, slots=True)
class Posterior:
    """Of the difference or of the lift, as `unit` says; losses of shipping and of keeping the control, in that unit."""

    prob_beat: float | None
    ship_loss: float | None
    keep_loss: float | None
    credible: Limits
    unit: str
    prior: PriorResult
    reason: str | None = None

    def with_goal_reversed(self) -> "Posterior":
        """For a metric whose goal is to decrease: lower beats the control, and shipping loses where it is higher."""
        chance = None if self.prob_beat is None else 1 - self.prob_beat
        return Posterior(chance, self.keep_loss, self.ship_loss, self.credible, self.unit, self.prior, self.reason)


def effect_of_comparison(
    test: Comparison, lift: Lift, *, of: str = FIGURE, cuped: CupedHealth | None = None, note: str | None = None
) -> Effect:
    return Effect(
        diff=test.diff,
        se=test.se,
        p_value=test.p_value,
        ci=limits(test.ci_low, test.ci_high),
        lift=lift.lift,
        lift_se=lift.se,
        lift_ci=limits(lift.ci_low, lift.ci_high),
        reasons=distinct(note, test.reason, lift.reason),
        of=of,
        cuped=cuped,
    )


def flat_posterior(found: Effect, alpha: float) -> Posterior:
    """Of the difference, in the metric's unit, with a flat prior: nothing is assumed about its size."""
    return as_posterior(normal_posterior(found.diff, found.se, alpha=alpha), found)


def as_posterior(posterior: NormalPosterior | ProportionPosterior, found: Effect) -> Posterior:
    return Posterior(
        posterior.prob_beat,
        posterior.loss_treatment,
        posterior.loss_control,
        limits(posterior.ci_low, posterior.ci_high),
        ABSOLUTE,
        {"kind": "flat", "standardDeviation": None, "weight": 0.0},
        _true_reason(posterior.reason, found),
    )


def posterior_of_lift(found: Effect, prior_sd: float, alpha: float) -> Posterior:
    """Of the lift, with the prior N(0, prior_sd^2), for every type of metric alike."""
    lift = Lift(found.lift, found.lift_se, None, None, None)
    posterior = lift_posterior(lift, prior_sd, alpha)
    return Posterior(
        posterior.prob_beat,
        posterior.loss_treatment,
        posterior.loss_control,
        limits(posterior.ci_low, posterior.ci_high),
        RELATIVE,
        {
            "kind": "lift",
            "standardDeviation": prior_sd,
            "weight": None if found.lift_se is None else weight_of_prior(found.lift_se, prior_sd),
        },
        _true_reason(posterior.reason, found),
    )


def _true_reason(reason: str | None, found: Effect) -> str | None:
    """A missing error has a cause, which the effect names."""
    return None if reason is None or found.reasons else reason


def distinct(*reasons: str | None) -> list[str]:
    """The reasons that were given, each once."""
    return list(dict.fromkeys(reason for reason in reasons if reason))


def limits(low: float | None, high: float | None) -> Limits:
    return None if low is None or high is None else [low, high]
