"""Posteriors against exact sums and closed forms: no random draw anywhere."""

import math

import numpy as np
import pytest
from scipy import special, stats

from experiments.statistics.bayes import (
    lift_posterior,
    normal_posterior,
    prior_sd_of_history,
    prior_weight,
    proportion_posterior,
)
from experiments.statistics.estimates import Lift
from experiments.statistics.summaries import Proportion


def _exact_chance_to_beat(control: Proportion, treatment: Proportion) -> float:
    """Miller 2013's finite sum for Beta(1, 1) priors."""
    a_c, b_c = 1 + control.conversions, 1 + control.users - control.conversions
    a_t, b_t = 1 + treatment.conversions, 1 + treatment.users - treatment.conversions
    return math.fsum(
        math.exp(
            special.betaln(a_c + i, b_t + b_c)
            - math.log(b_t + i)
            - special.betaln(1 + i, b_t)
            - special.betaln(a_c, b_c)
        )
        for i in range(int(a_t))
    )


ARMS = [
    (Proportion(120, 1000), Proportion(145, 1020)),
    (Proportion(0, 10), Proportion(0, 12)),
    (Proportion(5, 5), Proportion(500, 510)),
    (Proportion(4, 9), Proportion(3000, 9000)),
    (Proportion(50_000, 1_000_000), Proportion(3, 8)),
]


@pytest.mark.parametrize(("control", "treatment"), ARMS)
def test_proportions__chance_to_beat__is_the_exact_sum(control: Proportion, treatment: Proportion) -> None:
    posterior = proportion_posterior(control, treatment)
    assert posterior.prob_beat == pytest.approx(_exact_chance_to_beat(control, treatment), rel=1e-8)


@pytest.mark.parametrize(("control", "treatment"), ARMS)
def test_proportions__arms_swapped__are_mirrored(control: Proportion, treatment: Proportion) -> None:
    one, other = proportion_posterior(control, treatment), proportion_posterior(treatment, control)
    assert one.prob_beat is not None
    assert one.ci_high is not None
    assert other.prob_beat == pytest.approx(1 - one.prob_beat, abs=1e-9)
    assert other.loss_control == pytest.approx(one.loss_treatment, abs=1e-10)
    assert other.ci_low == pytest.approx(-one.ci_high, abs=1e-9)


@pytest.mark.parametrize(("control", "treatment"), ARMS)
def test_proportions__difference_of_losses__is_the_mean_difference(control: Proportion, treatment: Proportion) -> None:
    posterior = proportion_posterior(control, treatment)
    assert posterior.loss_control is not None
    assert posterior.loss_treatment is not None
    assert posterior.loss_control - posterior.loss_treatment == pytest.approx(posterior.mean_diff, abs=1e-10)


def test_proportions__interval__holds_its_probability() -> None:
    """Against a known control the difference is one shifted Beta, so its quantiles are known."""
    posterior = proportion_posterior(Proportion(50_000_000, 100_000_000), Proportion(30, 50), alpha=0.1)
    low, high = stats.beta(31, 21).ppf([0.05, 0.95]) - 0.5
    assert (posterior.ci_low, posterior.ci_high) == pytest.approx((low, high), abs=1e-6)


def test_proportions__no_users__is_none_with_a_reason() -> None:
    posterior = proportion_posterior(Proportion(0, 0), Proportion(3, 8))
    assert (posterior.prob_beat, posterior.ci_low) == (None, None)
    assert posterior.reason


def test_proportions__improper_prior__is_refused() -> None:
    with pytest.raises(ValueError, match="prior"):
        proportion_posterior(Proportion(1, 2), Proportion(1, 2), prior_a=0)


def test_normal__flat_prior__is_the_likelihood() -> None:
    posterior = normal_posterior(2.0, 0.5)
    assert (posterior.post_mean, posterior.post_sd) == (2.0, 0.5)
    assert posterior.prob_beat == pytest.approx(stats.norm.sf(-4))


def test_normal__strong_prior__shrinks_towards_it() -> None:
    posterior = normal_posterior(2.0, 1.0, prior_mean=-1.0, prior_var=1.0)
    assert (posterior.post_mean, posterior.post_sd) == pytest.approx((0.5, math.sqrt(0.5)))


def test_normal__hopeless_loss__stays_positive_and_precise() -> None:
    posterior = normal_posterior(6.0, 1.0)
    expected = stats.norm.expect(lambda effect: max(0.0, -effect), loc=6, scale=1, lb=-4, ub=0)
    assert posterior.loss_treatment == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("diff", "se"), [(None, 1.0), (1.0, None), (1.0, 0.0)])
def test_normal__no_error__is_none_with_a_reason(diff: float | None, se: float | None) -> None:
    posterior = normal_posterior(diff, se)
    assert (posterior.post_mean, posterior.prob_beat) == (None, None)
    assert posterior.reason


def test_lift__prior__has_the_weight_that_is_printed() -> None:
    surprising = lift_posterior(Lift(0.5, 0.25, 0.05, 0.0, 1.0), prior_sd=0.05)
    assert surprising.post_mean == pytest.approx(0.5 * (1 - prior_weight(0.25, 0.05)))
    assert prior_weight(0.25, 0.05) == pytest.approx(0.0625 / 0.065)
    assert lift_posterior(Lift(None, None, None, None, None), prior_sd=0.05).reason


def test_prior__of_ones_own_history__is_what_errors_do_not_explain() -> None:
    rng = np.random.default_rng(31)
    errors = rng.uniform(0.01, 0.05, 2000)
    lifts = rng.normal(0, 0.04, 2000) + rng.normal(0, 1, 2000) * errors
    assert prior_sd_of_history(lifts, errors) == pytest.approx(0.04, rel=0.05)
    assert prior_sd_of_history([0.01] * 6, [0.02] * 6) == 0
    assert prior_sd_of_history([0.01] * 4, [0.02] * 4) is None
