"""Planning: sample size, smallest detectable effect, and power.

Sizes are real numbers of users (round up); `ratio` is treatment users per control user. Ratios plan with
`ratios.standard_deviation`, counts and continuous metrics with the users' own, quantiles with `quantiles.planning_sd`.
"""

import math
from dataclasses import dataclass

import scipy

from experiments.statistics.distributions import normal_cdf, normal_critical, require_alpha, require_finite

NO_EFFECT = "no effect needs no size: the rates are equal"


@dataclass(frozen=True, slots=True)
class SampleSize:
    n_control: float | None
    n_treatment: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class DetectableEffect:
    """In the metric's unit (rate points for proportions), and as a fraction of the control where that is known."""

    mde_abs: float | None
    mde_rel: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Power:
    power: float | None
    reason: str | None = None


def _quantiles(alpha: float, power: float) -> tuple[float, float]:
    require_alpha(alpha)
    if not 0 < power < 1:
        raise ValueError(f"power must lie strictly between 0 and 1, got {power}")
    return normal_critical(alpha), normal_critical(1 - power, sides=1)


def _require_rate(rate: float) -> None:
    if not 0 <= rate <= 1:
        raise ValueError(f"a rate lies between 0 and 1, got {rate}")


def _require_users(n_control: float, n_treatment: float) -> None:
    if not (0 < n_control < math.inf and 0 < n_treatment < math.inf):
        raise ValueError(f"both arms need users, got {n_control} and {n_treatment}")


def _rate_errors(p_control: float, p_treatment: float, ratio: float) -> tuple[float, float]:
    """Standard errors times sqrt(n_control): pooled under no effect, unpooled under the effect."""
    pooled = (p_control + ratio * p_treatment) / (1 + ratio)
    null = math.sqrt(pooled * (1 - pooled) * (1 + 1 / ratio))
    return null, math.sqrt(p_control * (1 - p_control) + p_treatment * (1 - p_treatment) / ratio)


def sample_size_proportions(
    p_control: float, p_treatment: float, alpha: float = 0.05, power: float = 0.8, ratio: float = 1.0
) -> SampleSize:
    """Users to tell two rates apart, two-sided.

    n_c = (z_{alpha/2} sqrt(p q (1 + 1/r)) + z_power sqrt(p_c q_c + p_t q_t / r))^2 / (p_t - p_c)^2, p the rate of both
    arms together. Source: Fleiss, Levin and Paik 2003, ch. 4; R's power.prop.test.
    """
    _require_rate(p_control)
    _require_rate(p_treatment)
    z_alpha, z_power = _quantiles(alpha, power)
    _require_users(1, ratio)
    if p_control == p_treatment:
        return SampleSize(None, None, NO_EFFECT)
    null, alternative = _rate_errors(p_control, p_treatment, ratio)
    n_control = ((z_alpha * null + z_power * alternative) / (p_treatment - p_control)) ** 2
    return SampleSize(n_control, ratio * n_control)


def power_proportions(
    p_control: float, p_treatment: float, n_control: float, n_treatment: float, alpha: float = 0.05
) -> Power:
    """Chance of a significant difference in the right direction; formula and source as `sample_size_proportions`."""
    _require_rate(p_control)
    _require_rate(p_treatment)
    _require_users(n_control, n_treatment)
    require_alpha(alpha)
    null, alternative = _rate_errors(p_control, p_treatment, n_treatment / n_control)
    gap = abs(p_treatment - p_control) * math.sqrt(n_control) - normal_critical(alpha) * null
    if null == 0:
        return Power(None, "both rates are 0 or both are 1, so the test does not exist")
    if alternative == 0:
        return Power(1.0 if gap > 0 else 0.0)
    return Power(normal_cdf(gap / alternative))


def detectable_proportion(
    p_control: float, n_control: float, n_treatment: float, alpha: float = 0.05, power: float = 0.8
) -> DetectableEffect:
    """Smallest rise of the treatment's rate that reaches the power, by the formula of `sample_size_proportions`."""
    _require_rate(p_control)
    _require_users(n_control, n_treatment)
    z_alpha, z_power = _quantiles(alpha, power)
    ratio, root = n_treatment / n_control, math.sqrt(n_control)

    def shortfall(p_treatment: float) -> float:
        null, alternative = _rate_errors(p_control, p_treatment, ratio)
        return z_alpha * null + z_power * alternative - (p_treatment - p_control) * root

    if p_control >= 1 or shortfall(1.0) > 0:
        return DetectableEffect(None, None, "even a rate of 100 % would not reach this power")
    found = float(scipy.optimize.brentq(shortfall, p_control, 1.0, xtol=1e-15, rtol=1e-13)) - p_control
    return DetectableEffect(found, found / p_control if p_control > 0 else None)


def sample_size_means(sd: float, mde: float, alpha: float = 0.05, power: float = 0.8, ratio: float = 1.0) -> SampleSize:
    """Users to see a difference `mde` of means with standard deviation `sd` a user, two-sided z.

    n_c = (z_{alpha/2} + z_power)^2 sd^2 (1 + 1/r) / mde^2. Source: Chow, Shao and Wang 2008, ch. 3.
    """
    z_alpha, z_power = _quantiles(alpha, power)
    _require_sd(sd)
    _require_users(1, ratio)
    require_finite(mde)
    if mde == 0:
        return SampleSize(None, None, NO_EFFECT)
    n_control = ((z_alpha + z_power) * sd / mde) ** 2 * (1 + 1 / ratio)
    return SampleSize(n_control, ratio * n_control)


def power_means(sd: float, mde: float, n_control: float, n_treatment: float, alpha: float = 0.05) -> Power:
    """Chance of a significant difference, either tail.

    Phi(d - z_{alpha/2}) + Phi(-d - z_{alpha/2}), d = |mde| / (sd sqrt(1/n_c + 1/n_t)).
    Source: Chow, Shao and Wang 2008, ch. 3.
    """
    require_alpha(alpha)
    _require_sd(sd)
    _require_users(n_control, n_treatment)
    require_finite(mde)
    drift = abs(mde) / (sd * math.sqrt(1 / n_control + 1 / n_treatment))
    critical = normal_critical(alpha)
    return Power(normal_cdf(drift - critical) + normal_cdf(-drift - critical))


def detectable_mean(
    sd: float,
    n_control: float,
    n_treatment: float,
    alpha: float = 0.05,
    power: float = 0.8,
    *,
    baseline: float | None = None,
) -> DetectableEffect:
    """(z_{alpha/2} + z_power) sd sqrt(1/n_c + 1/n_t) in the metric's unit; relative to `baseline` where given."""
    z_alpha, z_power = _quantiles(alpha, power)
    _require_sd(sd)
    _require_users(n_control, n_treatment)
    effect = (z_alpha + z_power) * sd * math.sqrt(1 / n_control + 1 / n_treatment)
    return DetectableEffect(effect, effect / abs(baseline) if baseline else None)


def _require_sd(sd: float) -> None:
    if not 0 < sd < math.inf:
        raise ValueError(f"the standard deviation must be finite and above 0, got {sd}")
