"""Planning: size, effect and power are one relation read in three directions."""

import numpy as np
import pytest
from scipy import stats

from experiments.statistics.power import (
    detectable_mean,
    detectable_proportion,
    power_means,
    power_proportions,
    sample_size_means,
    sample_size_proportions,
)


@pytest.mark.parametrize("ratio", [0.25, 1.0, 3.0])
@pytest.mark.parametrize(("p_control", "p_treatment"), [(0.1, 0.12), (0.5, 0.45), (0.001, 0.002)])
def test_proportions__planned_size__has_the_planned_power(p_control: float, p_treatment: float, ratio: float) -> None:
    size = sample_size_proportions(p_control, p_treatment, 0.05, 0.9, ratio)
    assert size.n_control is not None
    assert size.n_treatment == pytest.approx(ratio * size.n_control)
    assert power_proportions(p_control, p_treatment, size.n_control, size.n_treatment).power == pytest.approx(0.9)
    if p_treatment > p_control:
        effect = detectable_proportion(p_control, size.n_control, size.n_treatment, 0.05, 0.9)
        assert effect.mde_abs == pytest.approx(p_treatment - p_control)
        assert effect.mde_rel == pytest.approx(p_treatment / p_control - 1)


@pytest.mark.parametrize("ratio", [0.25, 1.0, 3.0])
def test_means__planned_size__has_the_planned_power(ratio: float) -> None:
    size = sample_size_means(12, 0.7, 0.05, 0.9, ratio)
    assert size.n_control is not None
    assert size.n_treatment is not None
    assert power_means(12, 0.7, size.n_control, size.n_treatment).power == pytest.approx(0.9, abs=1e-6)
    effect = detectable_mean(12, size.n_control, size.n_treatment, 0.05, 0.9, baseline=-35)
    assert (effect.mde_abs, effect.mde_rel) == pytest.approx((0.7, 0.02))


def test_power__simulated_tests__agree() -> None:
    rng = np.random.default_rng(3)
    control, treatment = rng.binomial(2000, 0.1, 20_000) / 2000, rng.binomial(4000, 0.12, 20_000) / 4000
    pooled = (control * 2000 + treatment * 4000) / 6000
    z = (treatment - control) / np.sqrt(pooled * (1 - pooled) * (1 / 2000 + 1 / 4000))
    planned = power_proportions(0.1, 0.12, 2000, 4000).power
    assert planned == pytest.approx((z > stats.norm.ppf(0.975)).mean(), abs=0.015)


def test_power__no_effect__is_alpha_counting_both_tails() -> None:
    assert power_means(10, 0, 500, 500, 0.05).power == pytest.approx(0.05)
    assert power_proportions(0.1, 0.1, 500, 500, 0.05).power == pytest.approx(0.025)


def test_size__no_effect__is_none_with_a_reason() -> None:
    for size in (sample_size_proportions(0.1, 0.1), sample_size_means(3, 0)):
        assert (size.n_control, size.n_treatment) == (None, None)
        assert size.reason


def test_detectable__too_few_users__is_none_with_a_reason() -> None:
    effect = detectable_proportion(0.6, 8, 8)
    assert (effect.mde_abs, effect.mde_rel) == (None, None)
    assert effect.reason


def test_detectable__no_baseline_conversions__has_no_relative_effect() -> None:
    effect = detectable_proportion(0.0, 5000, 5000)
    assert effect.mde_abs is not None
    assert effect.mde_rel is None


def test_power__rates_that_never_vary__is_none_with_a_reason() -> None:
    assert power_proportions(0, 0, 100, 100).reason


@pytest.mark.parametrize(
    "plan",
    [
        lambda: sample_size_proportions(-0.1, 0.1),
        lambda: sample_size_proportions(0.1, 0.2, power=1.0),
        lambda: sample_size_means(0, 1),
        lambda: power_means(1, 1, 0, 10),
    ],
)
def test_plan__senseless_input__is_refused(plan) -> None:
    with pytest.raises(ValueError, match=r"rate|power|deviation|users"):
        plan()
