"""Posteriors: the chance to beat the control, expected losses, and the credible interval.

They come from quadrature, so the same data always give the same digits. A posterior is no remedy for peeking: a
stopping rule on "95 % to beat control" finds an effect in far more than 5 % of experiments without one. Every page that
shows a posterior says so.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy

from experiments.statistics.distributions import (
    Floats,
    normal_cdf,
    normal_critical,
    normal_pdf,
    require_alpha,
    require_finite,
)
from experiments.statistics.estimates import Lift
from experiments.statistics.summaries import NO_USERS, Proportion

FEWEST_FOR_A_PRIOR = 5
NODES, WEIGHTS = np.polynomial.legendre.leggauss(128)
SMALLEST_TAIL = 1e-14


@dataclass(frozen=True, slots=True)
class ProportionPosterior:
    """Of p_t - p_c, in rate points. loss_treatment: expected loss of shipping the treatment; loss_control: of not."""

    prob_beat: float | None
    loss_treatment: float | None
    loss_control: float | None
    mean_diff: float | None
    ci_low: float | None
    ci_high: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class NormalPosterior:
    """Of an effect, in the effect's unit; losses as in `ProportionPosterior`."""

    post_mean: float | None
    post_sd: float | None
    prob_beat: float | None
    loss_treatment: float | None
    loss_control: float | None
    ci_low: float | None
    ci_high: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class _Beta:
    a: float
    b: float

    @property
    def mean(self) -> float:
        return self.a / (self.a + self.b)

    @property
    def sd(self) -> float:
        return math.sqrt(self.mean * (1 - self.mean) / (self.a + self.b + 1))

    def nodes(self) -> tuple[Floats, Floats]:
        """Points and probability masses: Gauss-Legendre in the angle of x = sin^2, where the density is tame."""
        low = math.asin(math.sqrt(float(scipy.special.betaincinv(self.a, self.b, SMALLEST_TAIL))))
        high = math.asin(math.sqrt(float(scipy.special.betainccinv(self.a, self.b, SMALLEST_TAIL))))
        angles = (low + high) / 2 + (high - low) / 2 * NODES
        sines, cosines = np.sin(angles), np.cos(angles)
        log_density = (
            (2 * self.a - 1) * np.log(sines) + (2 * self.b - 1) * np.log(cosines) - scipy.special.betaln(self.a, self.b)
        )
        masses = WEIGHTS * (high - low) * np.exp(log_density)
        return sines**2, masses / masses.sum()

    def below(self, x: Floats) -> Floats:
        result: Floats = scipy.special.betainc(self.a, self.b, np.clip(x, 0, 1))
        return result

    def above(self, x: Floats) -> Floats:
        # As the mirrored lower tail: scipy's complement takes four times as long.
        result: Floats = scipy.special.betainc(self.b, self.a, 1 - np.clip(x, 0, 1))
        return result

    def expected_excess(self, x: Floats) -> Floats:
        """E[(X - x)+] at points of [0, 1]."""
        result: Floats = self.mean * scipy.special.betainc(self.b, self.a + 1, 1 - x) - x * self.above(x)
        return np.maximum(result, 0.0)

    def expected_shortfall(self, x: Floats) -> Floats:
        """E[(x - X)+] at points of [0, 1]."""
        result: Floats = x * self.below(x) - self.mean * scipy.special.betainc(self.a + 1, self.b, x)
        return np.maximum(result, 0.0)


def proportion_posterior(
    control: Proportion,
    treatment: Proportion,
    prior_a: float = 1.0,
    prior_b: float = 1.0,
    alpha: float = 0.05,
) -> ProportionPosterior:
    """Independent Beta(prior_a + x, prior_b + n - x) posteriors; equal-tailed 1 - alpha interval of p_t - p_c.

    loss_treatment = E[(p_c - p_t)+], loss_control = E[(p_t - p_c)+]. Integrals run over the narrower posterior with the
    other's distribution function inside. Source: Stucchio 2015, Bayesian A/B testing at VWO; Miller 2013.
    """
    require_alpha(alpha)
    if prior_a <= 0 or prior_b <= 0:
        raise ValueError(f"a Beta prior needs parameters above 0, got {prior_a} and {prior_b}")
    if control.users == 0 or treatment.users == 0:
        return ProportionPosterior(None, None, None, None, None, None, NO_USERS)
    beta_c, beta_t = (
        _Beta(prior_a + arm.conversions, prior_b + arm.users - arm.conversions) for arm in (control, treatment)
    )
    if beta_t.sd < beta_c.sd:
        points, masses = beta_t.nodes()
        prob_beat = float(beta_c.below(points) @ masses)
        loss_treatment = float(beta_c.expected_excess(points) @ masses)
        loss_control = float(beta_c.expected_shortfall(points) @ masses)
    else:
        points, masses = beta_c.nodes()
        prob_beat = float(beta_t.above(points) @ masses)
        loss_treatment = float(beta_t.expected_shortfall(points) @ masses)
        loss_control = float(beta_t.expected_excess(points) @ masses)

    @cache
    def chance_below(diff: float) -> float:
        if beta_t.sd < beta_c.sd:
            return float(beta_c.above(points - diff) @ masses)
        return float(beta_t.below(points + diff) @ masses)

    mean_diff = beta_t.mean - beta_c.mean
    sd = math.hypot(beta_t.sd, beta_c.sd)
    # Cantelli: no more than `tail` lies beyond sd / sqrt(tail) from the mean.
    reach = sd / math.sqrt(alpha / 2)

    def quantile(tail: float, guess: float) -> float:
        near = max(-1.0, guess - sd / 8), min(1.0, guess + sd / 8)
        is_near = chance_below(near[0]) < tail < chance_below(near[1])
        bracket = near if is_near else (max(-1.0, mean_diff - reach), min(1.0, mean_diff + reach))
        return float(scipy.optimize.brentq(lambda diff: chance_below(diff) - tail, *bracket, xtol=1e-9 * reach))

    # Nearly normal with as many users as experiments have, so that few steps lead from the normal's quantiles.
    low = quantile(alpha / 2, mean_diff - normal_critical(alpha) * sd)
    high = quantile(1 - alpha / 2, mean_diff + normal_critical(alpha) * sd)
    return ProportionPosterior(prob_beat, loss_treatment, loss_control, mean_diff, low, high)


def normal_posterior(
    diff: float | None,
    se: float | None,
    prior_mean: float = 0.0,
    prior_var: float | None = None,
    alpha: float = 0.05,
) -> NormalPosterior:
    """Effect with a normal likelihood and a normal prior on the effect, flat when `prior_var` is None.

    Precisions add: 1 / v = 1 / se^2 + 1 / prior_var. With m and s the posterior's mean and sd and z = m / s:
    prob_beat = Phi(z), loss_control = E[D+] = m Phi(z) + s phi(z), loss_treatment = E[(-D)+] = loss_control - m.
    Source: Gelman et al. 2013, Bayesian Data Analysis, ch. 2.5; losses as Stucchio 2015.
    """
    require_alpha(alpha)
    require_finite(prior_mean, *(value for value in (diff, se, prior_var) if value is not None))
    if prior_var is not None and prior_var <= 0:
        raise ValueError(f"the prior's variance must be above 0, got {prior_var}")
    if diff is None or se is None or se <= 0:
        return NormalPosterior(None, None, None, None, None, None, None, "the effect has no standard error yet")
    weight = 1.0 if prior_var is None else prior_var / (prior_var + se * se)
    mean = weight * diff + (1 - weight) * prior_mean
    sd = se * math.sqrt(weight)
    z = mean / sd
    gain = sd * normal_pdf(z) + mean * normal_cdf(z)
    loss = sd * normal_pdf(z) - mean * normal_cdf(-z)
    reach = normal_critical(alpha) * sd
    return NormalPosterior(mean, sd, normal_cdf(z), max(0.0, loss), max(0.0, gain), mean - reach, mean + reach)


def lift_posterior(lift: Lift, prior_sd: float, alpha: float = 0.05) -> NormalPosterior:
    """Posterior of a relative lift, a fraction, with the prior N(0, prior_sd^2): most changes move a metric little.

    Half of all lifts are then expected within 0.67 prior_sd. `prior_weight` says how much of the answer is the prior.
    """
    return normal_posterior(lift.lift, lift.se, prior_var=prior_sd**2, alpha=alpha)


def prior_weight(se: float, prior_sd: float) -> float:
    """Share of the posterior mean that the prior has: se^2 / (se^2 + prior_sd^2), between 0 and 1."""
    return se * se / (se * se + prior_sd * prior_sd)


def prior_sd_of_history(lifts: Sequence[float], errors: Sequence[float]) -> float | None:
    """Spread of true lifts among one's own experiments: the s at which sum(lift^2 / (s^2 + se^2)) = their number.

    0 where the lifts vary no more than their errors explain; None below five experiments.
    Source: Paule and Mandel 1982, J. Res. NBS 87, 377-385, around a mean of 0.
    """
    if len(lifts) != len(errors):
        raise ValueError(f"{len(lifts)} lifts have {len(errors)} errors: each lift needs its own")
    require_finite(*lifts, *errors)
    if len(lifts) < FEWEST_FOR_A_PRIOR:
        return None
    squares, variances = np.square(lifts), np.square(errors)

    def excess(variance: float) -> float:
        return float((squares / (variance + variances)).sum()) - len(lifts)

    if excess(0.0) <= 0:
        return 0.0
    return math.sqrt(float(scipy.optimize.brentq(excess, 0.0, float(squares.sum()))))
