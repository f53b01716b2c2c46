"""Summaries add like the users behind them, and keep their digits far from zero."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.statistics.summaries import Moments, PairedMoments

VALUES = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), max_size=30)


@given(VALUES, VALUES)
def test_moments__sum_of_parts__is_the_whole(left: list[float], right: list[float]) -> None:
    parts = Moments.from_values(left) + Moments.from_values(right)
    whole = Moments.from_values(left + right)
    scale = max((abs(value) for value in left + right), default=0.0)
    assert parts.n == whole.n
    assert parts.mean == pytest.approx(whole.mean, rel=1e-9, abs=1e-9 * scale)
    assert parts.m2 == pytest.approx(whole.m2, rel=1e-9, abs=1e-9 * scale**2)


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), max_size=20), st.integers(0, 20))
def test_paired_moments__sum_of_parts__is_the_whole(pairs: list[tuple[float, float]], cut: int) -> None:
    def summary(part: list[tuple[float, float]]) -> PairedMoments:
        return PairedMoments.from_values([y for y, _ in part], [x for _, x in part])

    parts, whole = summary(pairs[:cut]) + summary(pairs[cut:]), summary(pairs)
    for name in ("n", "mean_y", "mean_x", "m2_y", "m2_x", "c_xy"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-9, abs=1e-5)


def test_moments__from_sums__agrees_with_the_values() -> None:
    values = np.random.default_rng(3).gamma(2, 5, 400)
    moments = Moments.from_sums(values.size, float(values.sum()), float((values**2).sum()))
    assert moments.mean == pytest.approx(values.mean())
    assert moments.variance == pytest.approx(values.var(ddof=1))
    assert (moments.total, moments.squares) == pytest.approx((values.sum(), (values**2).sum()))


def test_moments__far_from_zero__keep_their_variance() -> None:
    noise = np.random.default_rng(4).normal(0, 1, 1000)
    shifted = Moments.from_values(noise[:500] + 1e9) + Moments.from_values(noise[500:] + 1e9)
    assert shifted.variance == pytest.approx(noise.var(ddof=1), rel=1e-6)


@pytest.mark.parametrize("ratio", [10**7, 10**8])
@pytest.mark.parametrize("kind", [int, Fraction, Decimal])
def test_moments__exact_sums_far_from_zero__have_the_exact_variance(ratio: int, kind: type) -> None:
    """Found P2-6: the variance was 1.4 % off at mean / sd = 1e7, and gone at 1e8."""
    values = [ratio + step for step in (-1, 1) * 500]
    sums = kind(sum(values)), kind(sum(value * value for value in values))
    assert Moments.from_sums(1000, *sums).m2 == 1000
    paired = PairedMoments.from_sums(
        n=1000, sum_y=sums[0], sum_x=sums[0], sum_yy=sums[1], sum_xx=sums[1], sum_xy=sums[1]
    )
    assert (paired.m2_y, paired.m2_x, paired.c_xy) == (1000, 1000, 1000)


def test_moments__sums_of_a_constant__have_no_variance_at_all() -> None:
    values = [0.1] * 7
    assert Moments.from_sums(7, math.fsum(values), sum(value * value for value in values)).variance == 0


@pytest.mark.parametrize("n", [0, 1])
def test_moments__fewer_than_two_users__have_no_variance(n: int) -> None:
    assert Moments.from_values([2.0] * n).variance is None


def test_paired_moments__different_users_on_each_side__are_refused() -> None:
    with pytest.raises(ValueError, match="same users"):
        PairedMoments.from_values([1, 2], [1])


def test_paired_moments__from_sums__agrees_with_the_values() -> None:
    rng = np.random.default_rng(8)
    x = rng.poisson(4, 300).astype(float)
    y = x * 2 + rng.normal(0, 1, 300)
    summed = PairedMoments.from_sums(
        n=300, sum_y=y.sum(), sum_x=x.sum(), sum_yy=(y * y).sum(), sum_xx=(x * x).sum(), sum_xy=(x * y).sum()
    )
    covariance = np.cov(y, x)
    assert summed.c_xy / 299 == pytest.approx(covariance[0, 1])
    assert (summed.y.variance, summed.x.variance) == pytest.approx((covariance[0, 0], covariance[1, 1]))
