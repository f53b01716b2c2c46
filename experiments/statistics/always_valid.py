"""Confidence sequences and mSPRT: valid at every look and at any stopping time, without a planned end.

The tuning (N*, tau) is fixed before start. A sequence is wider than a fixed interval at every size:
that is the price.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from experiments.statistics.distributions import require_alpha, require_finite
from experiments.statistics.group_sequential import inflation_of

NO_ERROR = "the estimate has no standard error yet"


@dataclass(frozen=True, slots=True)
class MixtureTest:
    log_lr: float | None
    p_value: float | None
    half_width: float | None
    ci_low: float | None
    ci_high: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ConfidenceSequence:
    """Two-sided: ci_low, ci_high and p_value. One-sided: lower_bound, upper_bound, each valid alone."""

    rho: float
    half_width: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    p_value: float | None = None
    lower_bound: float | None = None
    upper_bound: float | None = None
    reason: str | None = None


def msprt(diff: float | None, var_diff: float | None, tau2: float, alpha: float = 0.05) -> MixtureTest:
    """Mixture sequential probability ratio test of no effect, N(0, tau2) mixed over effects.

    LR = sqrt(V / (V + tau2)) exp(tau2 d^2 / (2 V (V + tau2))), V the variance of d; p = min(1, 1 / LR), of which the
    running minimum is always valid; the interval inverts LR < 1 / alpha. diff and sqrt(tau2) share the metric's unit.
    Source: Johari, Koomen, Pekelis and Walsh 2017 (KDD); Robbins 1970.
    """
    require_alpha(alpha)
    require_finite(tau2, *(value for value in (diff, var_diff) if value is not None))
    if tau2 <= 0:
        raise ValueError(f"tau2 must be above 0, got {tau2}")
    if diff is None or var_diff is None or var_diff <= 0:
        return MixtureTest(None, None, None, None, None, NO_ERROR)
    spread = var_diff + tau2
    log_lr = 0.5 * math.log(var_diff / spread) + tau2 * diff * diff / (2 * var_diff * spread)
    half_width = math.sqrt(2 * var_diff * spread / tau2 * (math.log(1 / alpha) + 0.5 * math.log(spread / var_diff)))
    return MixtureTest(log_lr, math.exp(min(0.0, -log_lr)), half_width, diff - half_width, diff + half_width)


def tuning_rho(n_tune: float, alpha: float = 0.05, sides: int = 2) -> float:
    """rho that makes the sequence tightest around `n_tune` users: rho^2 = (-2 ln a + ln(1 - 2 ln a)) / N*.

    a = alpha two-sided, 2 alpha one-sided. Source: Waudby-Smith et al. 2024, Ann. Statist. 52, appendix B.2.
    """
    require_alpha(alpha)
    require_finite(n_tune)
    if n_tune <= 0:
        raise ValueError(f"n_tune must be above 0, got {n_tune}")
    level = alpha if sides == 2 else 2 * alpha
    squared = -2 * math.log(level) + math.log(1 - 2 * math.log(level)) if level < 1 else 0.0
    if squared <= 0:
        raise ValueError(f"a one-sided sequence needs alpha below 0.5, got {alpha}")
    return math.sqrt(squared / n_tune)


def asymptotic_sequence(
    estimate: float | None, se: float | None, n: float, n_tune: float, *, alpha: float = 0.05, sides: int = 2
) -> ConfidenceSequence:
    """Asymptotic confidence sequence around an estimate with standard error `se` from n users of both arms together.

    Two-sided half width: se sqrt(n) sqrt(2 (n rho^2 + 1) / (n^2 rho^2) ln(sqrt(n rho^2 + 1) / alpha));
    one-sided: ln(1 + sqrt(n rho^2 + 1) / (2 alpha)) in place of the logarithm.
    p = min(1, sqrt(n rho^2 + 1) exp(-n rho^2 z^2 / (2 (n rho^2 + 1)))), z = estimate / se; keep its running minimum.
    Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, Time-uniform central limit theory, eq. 9.
    """
    if sides not in {1, 2}:
        raise ValueError(f"sides must be 1 or 2, got {sides}")
    require_finite(n, *(value for value in (estimate, se) if value is not None))
    rho = tuning_rho(n_tune, alpha, sides)
    if estimate is None or se is None or se <= 0 or n <= 0:
        return ConfidenceSequence(rho, None, reason=NO_ERROR)
    information = n * rho * rho
    growth = math.sqrt(information + 1)
    logarithm = math.log(growth / alpha) if sides == 2 else math.log1p(growth / (2 * alpha))
    half_width = se * math.sqrt(2 * (information + 1) / information * logarithm)
    low, high = estimate - half_width, estimate + half_width
    if sides == 1:
        return ConfidenceSequence(rho, half_width, lower_bound=low, upper_bound=high)
    z = estimate / se
    p_value = math.exp(min(0.0, math.log(growth) - information * z * z / (2 * (information + 1))))
    return ConfidenceSequence(rho, half_width, low, high, p_value)


def running_minimum(p_values: Iterable[float | None]) -> tuple[float | None, ...]:
    """Always-valid p-values after each look: the smallest one so far stays. None before the first p-value."""
    smallest: float | None = None
    result: list[float | None] = []
    for p_value in p_values:
        if p_value is not None:
            smallest = p_value if smallest is None else min(smallest, p_value)
        result.append(smallest)
    return tuple(result)


def sequence_bounds(info_fractions: Sequence[float], alpha: float = 0.05) -> tuple[float, ...]:
    """|Z| that the two-sided sequence tuned at the planned end (N* = plan) needs at each information fraction.

    `asymptotic_sequence`'s half width over its standard error, with n rho^2 = fraction * N* rho^2.
    """
    planned = tuning_rho(1.0, alpha) ** 2
    return tuple(_bound(fraction * planned, alpha) for fraction in info_fractions)


def _bound(information: float, alpha: float) -> float:
    return math.sqrt(2 * (information + 1) / information * math.log(math.sqrt(information + 1) / alpha))


@lru_cache(maxsize=512)
def inflation_factor(looks: int, alpha: float = 0.05, power: float = 0.8) -> float:
    """Users at the planned end against a test with one look, for equally spaced looks at the sequence.

    About 1.85 at 14 looks, alpha 0.05 and power 0.8: the price of looking at any time, to be planned for.
    """
    if looks < 1:
        raise ValueError(f"a design needs at least one look, got {looks}")
    fractions = tuple(look / looks for look in range(1, looks + 1))
    return inflation_of(sequence_bounds(fractions, alpha), fractions, alpha, power)
