"""Confidence sequences: test and interval agree, the tuning is where it should be, and looking often costs nothing."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from experiments.statistics.always_valid import asymptotic_sequence, msprt, running_minimum, tuning_rho


def test_msprt__likelihood_ratio__is_the_mixture_integral() -> None:
    def integrand(effect: float) -> float:
        ratio = stats.norm.pdf(0.3, effect, 0.2) / stats.norm.pdf(0.3, 0, 0.2)
        return float(ratio * stats.norm.pdf(effect, 0, 0.5))

    expected = integrate.quad(integrand, -6, 6)[0]
    assert msprt(0.3, 0.04, 0.25).log_lr == pytest.approx(math.log(expected), rel=1e-8)


@pytest.mark.parametrize("z", np.linspace(0.5, 5, 19))
def test_sequences__interval_excludes_zero__exactly_when_p_is_below_alpha(z: float) -> None:
    for result in (msprt(z, 1.0, 0.7), asymptotic_sequence(z, 1.0, 9000, 5000)):
        assert result.p_value is not None
        assert result.ci_low is not None
        assert (result.ci_low > 0) == (result.p_value < 0.05)


def test_sequence__tuned_size__is_where_it_is_tightest_for_its_error() -> None:
    rho_then = tuning_rho(10_000)
    width = asymptotic_sequence(0, 1 / math.sqrt(10_000), 10_000, 10_000).half_width
    assert rho_then == pytest.approx(math.sqrt((-2 * math.log(0.05) + math.log(1 - 2 * math.log(0.05))) / 10_000))
    for other in (5_000, 20_000):
        wider = asymptotic_sequence(0, 1 / math.sqrt(10_000), 10_000, other).half_width
        assert width is not None
        assert wider is not None
        assert width < wider


def test_sequence__one_sided__is_tighter_and_has_bounds_instead_of_an_interval() -> None:
    one, two = (asymptotic_sequence(0.1, 0.05, 5000, 5000, sides=sides) for sides in (1, 2))
    assert one.half_width is not None
    assert two.half_width is not None
    assert one.half_width < two.half_width
    assert one.lower_bound == pytest.approx(0.1 - one.half_width)
    assert (one.ci_low, one.p_value, two.lower_bound) == (None, None, None)


@pytest.mark.parametrize(("estimate", "se", "n"), [(None, 1.0, 10), (0.1, None, 10), (0.1, 0.0, 10), (0.1, 1.0, 0)])
def test_sequences__no_error_yet__are_none_with_a_reason(estimate: float, se: float, n: int) -> None:
    result = asymptotic_sequence(estimate, se, n, 1000)
    assert (result.half_width, result.p_value) == (None, None)
    assert result.reason
    assert msprt(estimate, 0.0, 1.0).reason


def test_msprt__hundred_looks__keep_false_positives_below_alpha() -> None:
    """The fixed test on the same paths calls far more, so the simulation can tell the two apart."""
    rng = np.random.default_rng(11)
    sums = rng.normal(size=(4000, 100)).cumsum(axis=1)
    n = np.arange(1, 101)
    z = sums / np.sqrt(n)
    needed = np.array([float(msprt(0, 1 / k, 1 / 50).half_width or 0) * math.sqrt(k) for k in n])
    assert (np.abs(z) >= needed).any(axis=1).mean() <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 4000)
    assert (np.abs(z) >= 1.96).any(axis=1).mean() > 0.3


def test_running_minimum__evidence_once_seen__stays() -> None:
    assert running_minimum([None, 0.4, 0.6, None, 0.1]) == (None, 0.4, 0.4, 0.4, 0.1)


def test_tuning__senseless_input__is_refused() -> None:
    with pytest.raises(ValueError, match="n_tune"):
        tuning_rho(0)
    with pytest.raises(ValueError, match="one-sided"):
        tuning_rho(10, 0.6, sides=1)
    with pytest.raises(ValueError, match="tau2"):
        msprt(1, 1, 0)
