"""Tests of two conversion rates, the interval of their difference, and the relative lift."""

import math
from dataclasses import dataclass

import scipy

from experiments.statistics.distributions import normal_critical, normal_two_sided, require_alpha
from experiments.statistics.summaries import NO_USERS, NO_VARIANCE, ZERO_CONTROL, Proportion

NEWCOMBE_BELOW = 10
LOG_RATIO_BELOW = 30
EXPECTED_LOG_RATIO_BELOW = 60


@dataclass(frozen=True, slots=True)
class ProportionTest:
    diff: float | None
    z: float | None
    chi2: float | None
    p_value: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ProportionInterval:
    diff: float | None
    ci_low: float | None
    ci_high: float | None
    method: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ProportionLift:
    """Lift as a fraction of the control rate; `se` is on the scale of the log ratio when `method` is log."""

    lift: float | None
    se: float | None
    ci_low: float | None
    ci_high: float | None
    method: str
    reason: str | None = None


def proportion_test(control: Proportion, treatment: Proportion) -> ProportionTest:
    """Two-sided pooled z-test of equal rates; chi2 = z^2 is Pearson's statistic without continuity correction.

    z = (p_t - p_c) / sqrt(p (1 - p) (1/n_c + 1/n_t)), p the pooled rate. None when nobody, or everybody, converted.
    Source: Fleiss, Levin and Paik 2003, Statistical Methods for Rates and Proportions, ch. 3.
    """
    if control.users == 0 or treatment.users == 0:
        return ProportionTest(None, None, None, None, NO_USERS)
    diff = treatment.conversions / treatment.users - control.conversions / control.users
    both = control + treatment
    pooled = both.conversions / both.users
    variance = pooled * (1 - pooled) * (1 / control.users + 1 / treatment.users)
    if variance <= 0:
        return ProportionTest(diff, None, None, None, "all users converted, or none did, so nothing can be compared")
    z = diff / math.sqrt(variance)
    return ProportionTest(diff, z, z * z, normal_two_sided(z))


def unpooled_se(control: Proportion, treatment: Proportion) -> float:
    """sqrt(p_c (1 - p_c) / n_c + p_t (1 - p_t) / n_t), in rate points; both arms must have users."""
    rate_c, rate_t = control.conversions / control.users, treatment.conversions / treatment.users
    return math.sqrt(rate_c * (1 - rate_c) / control.users + rate_t * (1 - rate_t) / treatment.users)


def wilson_limits(arm: Proportion, alpha: float = 0.05) -> tuple[float, float] | None:
    """Score limits of one rate: (p + z^2/2n -/+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n). Source: Wilson 1927."""
    require_alpha(alpha)
    if arm.users == 0:
        return None
    z, n, rate = normal_critical(alpha), arm.users, arm.conversions / arm.users
    middle = rate + z * z / (2 * n)
    reach = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)


def proportion_interval(
    control: Proportion, treatment: Proportion, alpha: float = 0.05, method: str = "auto"
) -> ProportionInterval:
    """Interval of p_t - p_c in rate points.

    wald: difference -/+ z * unpooled standard error. newcombe: hybrid of the two Wilson intervals (l, u),
    low = d - sqrt((p_t - l_t)^2 + (u_c - p_c)^2), high = d + sqrt((u_t - p_t)^2 + (p_c - l_c)^2), good at small counts.
    auto: newcombe where an arm has fewer than 10 conversions or 10 non-conversions, else wald.
    Source: Newcombe 1998, Stat. Med. 17, 873-890, method 10.
    """
    require_alpha(alpha)
    if method not in {"auto", "wald", "newcombe"}:
        raise ValueError(f"unknown interval {method!r}: auto, wald or newcombe")
    if method == "auto":
        counts = [count for arm in (control, treatment) for count in (arm.conversions, arm.users - arm.conversions)]
        method = "newcombe" if min(counts) < NEWCOMBE_BELOW else "wald"
    limits_c, limits_t = wilson_limits(control, alpha), wilson_limits(treatment, alpha)
    if limits_c is None or limits_t is None:
        return ProportionInterval(None, None, None, method, NO_USERS)
    rate_c, rate_t = control.conversions / control.users, treatment.conversions / treatment.users
    diff = rate_t - rate_c
    if method == "newcombe":
        low = diff - math.hypot(rate_t - limits_t[0], limits_c[1] - rate_c)
        high = diff + math.hypot(limits_t[1] - rate_t, rate_c - limits_c[0])
        return ProportionInterval(diff, low, high, method)
    se = unpooled_se(control, treatment)
    if se == 0:
        return ProportionInterval(diff, None, None, method, f"{NO_VARIANCE} (Newcombe's interval still exists)")
    reach = normal_critical(alpha) * se
    return ProportionInterval(diff, diff - reach, diff + reach, method)


def proportion_lift(
    control: Proportion, treatment: Proportion, alpha: float = 0.05, method: str = "auto"
) -> ProportionLift:
    """Interval of the relative lift p_t / p_c - 1.

    delta: se^2 = v_t / p_c^2 + v_c p_t^2 / p_c^4 with v = p (1 - p) / n, z critical value.
    log (Katz): se of log(p_t / p_c) = sqrt(1/x_t - 1/n_t + 1/x_c - 1/n_c), limits exponentiated.
    koopman: the ratios that the score test does not reject; exists wherever the control converts at all.
    auto: log below 30 control conversions, where delta covers .895 (5 conversions) to .943 (30) instead of .95, and
    below 60 expected ones (both arms' rate times the control's users), so that chance in the control's own count hardly
    ever picks the formula: a switch on that count alone covers .924 where it switches. koopman where neither has an
    error: no treatment converted, or everybody did.
    Source: delta method, Deng, Knoblich and Lu 2018 (KDD); Katz et al. 1978, Biometrics 34, 469-474; Koopman 1984,
    Biometrics 40, 513-517.
    """
    require_alpha(alpha)
    if method not in {"auto", "delta", "log", "koopman"}:
        raise ValueError(f"unknown lift interval {method!r}: auto, delta, log or koopman")
    if method == "auto":
        method = _lift_method(control, treatment)
    if control.users == 0 or treatment.users == 0:
        return ProportionLift(None, None, None, None, method, NO_USERS)
    if control.conversions == 0:
        return ProportionLift(None, None, None, None, method, ZERO_CONTROL)
    rate_c, rate_t = control.conversions / control.users, treatment.conversions / treatment.users
    lift = rate_t / rate_c - 1
    critical = normal_critical(alpha)
    if method == "koopman":
        low, high = _koopman_limits(control, treatment, critical)
        return ProportionLift(lift, None, low - 1, high - 1, method)
    if method == "log":
        if treatment.conversions == 0:
            reason = "the treatment has no conversions, so the logarithm of the ratio does not exist"
            return ProportionLift(lift, None, None, None, method, reason)
        variance = 1 / treatment.conversions - 1 / treatment.users + 1 / control.conversions - 1 / control.users
        if variance <= 0:
            return ProportionLift(lift, None, None, None, method, NO_VARIANCE)
        se = math.sqrt(variance)
        low, high = (rate_t / rate_c * math.exp(sign * critical * se) - 1 for sign in (-1, 1))
        return ProportionLift(lift, se, low, high, method)
    variance_t = rate_t * (1 - rate_t) / treatment.users / rate_c**2
    variance_c = rate_c * (1 - rate_c) / control.users * rate_t**2 / rate_c**4
    se = math.sqrt(variance_t + variance_c)
    if se == 0:
        return ProportionLift(lift, None, None, None, method, NO_VARIANCE)
    return ProportionLift(lift, se, lift - critical * se, lift + critical * se, method)


def _lift_method(control: Proportion, treatment: Proportion) -> str:
    both = control + treatment
    if treatment.conversions == 0 or both.conversions == both.users:
        return "koopman"
    expected = both.conversions / both.users * control.users
    has_few = control.conversions < LOG_RATIO_BELOW or expected < EXPECTED_LOG_RATIO_BELOW
    return "log" if has_few else "delta"


def _koopman_limits(control: Proportion, treatment: Proportion, critical: float) -> tuple[float, float]:
    """Ratios p_t / p_c at which the score statistic is critical^2; the control must have conversions."""
    x_c, n_c, x_t, n_t = control.conversions, control.users, treatment.conversions, treatment.users

    def excess(log_ratio: float) -> float:
        """Pearson's statistic against the rates that the ratio allows (maximum likelihood), less critical^2."""
        ratio = math.exp(log_ratio)
        middle = ratio * (n_t + x_c) + x_t + n_c
        root = math.sqrt(max(0.0, middle**2 - 4 * ratio * (n_t + n_c) * (x_t + x_c)))
        # As 2c / (b + root): the difference b - root loses its digits where the ratio is small.
        rate_c = 2 * (x_t + x_c) / (middle + root)
        rate_t = ratio * rate_c
        statistic = 0.0
        for count, users, rate in ((x_c, n_c, rate_c), (x_t, n_t, rate_t)):
            spread = users * rate * (1 - rate)
            statistic += (count - users * rate) ** 2 / spread if spread > 0 else 0.0
        return statistic - critical**2

    middle = math.log(max(x_t, 0.5) / n_t / (x_c / n_c))
    if x_t == 0:
        # The statistic falls to 0 with the ratio, so every smaller one is plausible.
        return 0.0, math.exp(scipy.optimize.brentq(excess, middle - 40, middle + 40))
    return (
        math.exp(scipy.optimize.brentq(excess, middle - 40, middle)),
        math.exp(scipy.optimize.brentq(excess, middle, middle + 40)),
    )
