"""Ratios and CUPED: what they promise over the naive formula, and what happens at the edges."""

import numpy as np
import pytest

from experiments.statistics.cuped import cuped_lift, cuped_test, pooled_theta
from experiments.statistics.means import welch_test
from experiments.statistics.ratios import ratio_lift, ratio_test, standard_deviation
from experiments.statistics.summaries import PairedMoments


def _pair(seed: int, n: int = 500, effect: float = 0.0) -> PairedMoments:
    rng = np.random.default_rng(seed)
    x = rng.normal(20, 5, n)
    return PairedMoments.from_values(0.8 * x + rng.normal(effect, 3, n), x)


def test_ratio__denominator_of_ones__is_the_mean() -> None:
    rng = np.random.default_rng(1)
    arms = [PairedMoments.from_values(rng.exponential(3, n), np.ones(n)) for n in (80, 120)]
    ratio, mean = ratio_test(*arms), welch_test(arms[0].y, arms[1].y)
    assert (ratio.diff, ratio.se, ratio.df, ratio.p_value) == pytest.approx((mean.diff, mean.se, mean.df, mean.p_value))


def test_ratio__error__is_that_of_resampled_users() -> None:
    rng = np.random.default_rng(2)
    x = rng.poisson(3, 2000) + 1.0
    y = rng.binomial(x.astype(int), rng.beta(2, 8, 2000)).astype(float)
    arm = PairedMoments.from_values(y, x)
    resampled = [y[picked].sum() / x[picked].sum() for picked in rng.integers(0, 2000, (800, 2000))]
    planned = standard_deviation(arm)
    assert planned is not None
    assert planned / np.sqrt(2000) == pytest.approx(np.std(resampled), rel=0.1)


def test_ratio__empty_denominator__is_none_with_a_reason() -> None:
    empty = PairedMoments.from_values([1.0, 2.0], [0.0, 0.0])
    full = PairedMoments.from_values([1.0, 2.0], [2.0, 3.0])
    result = ratio_test(empty, full)
    assert (result.ratio_c, result.ratio_t) == (None, pytest.approx(0.6))
    assert (result.diff, result.p_value, result.lift) == (None, None, None)
    assert result.reason


def test_ratio__constant_ratio__has_no_error_and_says_so() -> None:
    arm = PairedMoments.from_values([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    result = ratio_test(arm, arm)
    assert (result.diff, result.se, result.p_value) == (0, None, None)
    assert result.reason


def test_cuped__variance__falls_by_the_squared_correlation() -> None:
    control, treatment = _pair(3, 20_000), _pair(4, 20_000)
    result = cuped_test(control, treatment)
    both = control + treatment
    assert result.variance_reduction == pytest.approx(both.c_xy**2 / (both.m2_x * both.m2_y), abs=0.005)


@pytest.mark.parametrize(("test", "lift_of"), [(ratio_test, ratio_lift), (cuped_test, cuped_lift)])
def test_lift__interval__excludes_no_effect_exactly_when_the_test_does(test, lift_of) -> None:
    """Found P2-3, for what divides two sums and for what CUPED adjusts; near the edge, where the delta method errs."""
    control = _pair(11, 60)
    for shift in np.linspace(-3, 3, 61):
        treatment = _pair(12, 80, effect=float(shift))
        lift, p_value = lift_of(control, treatment), test(control, treatment).p_value
        assert lift.lift == pytest.approx(test(control, treatment).lift)
        assert (lift.ci_low > 0 or lift.ci_high < 0) == (p_value < 0.05)


def test_cuped__covariate_without_variance__is_the_plain_test() -> None:
    rng = np.random.default_rng(5)
    arms = [PairedMoments.from_values(rng.normal(5, 2, n), np.zeros(n)) for n in (90, 110)]
    result, plain = cuped_test(*arms), welch_test(arms[0].y, arms[1].y)
    assert (result.theta, result.variance_reduction) == pytest.approx((0, 0), abs=1e-12)
    assert (result.diff, result.p_value) == pytest.approx((plain.diff, plain.p_value))


def test_cuped__lift__divides_by_the_unadjusted_control_mean() -> None:
    control, treatment = _pair(6), _pair(7, effect=2)
    result = cuped_test(control, treatment)
    assert result.diff is not None
    assert result.lift == pytest.approx(result.diff / control.mean_y)


def test_cuped__lift_error__is_that_of_resampled_users() -> None:
    rng = np.random.default_rng(9)
    n = 400
    x_c, x_t = rng.normal(20, 5, n), rng.normal(20, 5, n)
    y_c, y_t = 0.8 * x_c + rng.normal(0, 3, n), 0.8 * x_t + rng.normal(4, 3, n)
    control, treatment = PairedMoments.from_values(y_c, x_c), PairedMoments.from_values(y_t, x_t)
    theta = pooled_theta(control, treatment)
    lifts = []
    for _ in range(1500):
        c, t = rng.integers(0, n, n), rng.integers(0, n, n)
        adjusted = y_t[t].mean() - y_c[c].mean() - theta * (x_t[t].mean() - x_c[c].mean())
        lifts.append(adjusted / y_c[c].mean())
    assert cuped_test(control, treatment).lift_se == pytest.approx(np.std(lifts), rel=0.08)


def test_cuped__metric_explained_by_its_past__has_no_error_and_says_so() -> None:
    arm = PairedMoments.from_values([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    result = cuped_test(arm, arm)
    assert (result.se, result.p_value, result.lift) == (None, None, None)
    assert result.reason


def test_cuped__no_users__is_none_with_a_reason() -> None:
    result = cuped_test(PairedMoments.from_values([], []), _pair(1))
    assert result.diff is None
    assert result.reason


def test_cuped__zero_control_mean__keeps_the_difference_without_a_lift() -> None:
    control = PairedMoments.from_values([-1.0, 1.0, 0.5, -0.5], [1.0, 2.0, 4.0, 3.0])
    result = cuped_test(control, _pair(1))
    assert result.p_value is not None
    assert (result.lift, result.lift_se) == (None, None)
    assert result.reason
