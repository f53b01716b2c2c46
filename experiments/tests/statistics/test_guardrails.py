"""Guardrails pass only on evidence: too few users fail, harm fails, and either direction can be the good one."""

import numpy as np
import pytest

from experiments.statistics.guardrails import noninferiority_lift, noninferiority_mean, noninferiority_proportion
from experiments.statistics.summaries import Moments, Proportion


def _arm(mean: float, n: int = 1000, sd: float = 10) -> Moments:
    return Moments(n, mean, (n - 1) * sd**2)


def test_mean__no_change_and_many_users__passes_both_ways() -> None:
    for higher_is_better in (True, False):
        assert noninferiority_mean(_arm(100), _arm(100), 2, higher_is_better=higher_is_better).passed is True


def test_mean__no_change_and_few_users__fails() -> None:
    assert noninferiority_mean(_arm(100, 40), _arm(100, 40), 2, higher_is_better=True).passed is False


def test_mean__direction__decides_what_harm_is() -> None:
    slower = noninferiority_mean(_arm(100), _arm(104), 2, higher_is_better=False)
    richer = noninferiority_mean(_arm(100), _arm(104), 2, higher_is_better=True)
    assert (slower.passed, richer.passed) == (False, True)
    assert slower.p_value is not None
    assert slower.p_value > 0.99


@pytest.mark.parametrize("diff", np.linspace(-4, 4, 33))
@pytest.mark.parametrize("higher_is_better", [True, False])
def test_mean__bound_within_the_margin__is_exactly_passing(diff: float, higher_is_better: bool) -> None:
    result = noninferiority_mean(_arm(100), _arm(100 + diff), 2, higher_is_better=higher_is_better)
    assert result.bound is not None
    assert result.passed == (result.bound > -2 if higher_is_better else result.bound < 2)


def test_proportion__margin__is_in_rate_points() -> None:
    control = Proportion(500, 10_000)
    assert noninferiority_proportion(control, Proportion(495, 10_000), 0.01, higher_is_better=True).passed is True
    assert noninferiority_proportion(control, Proportion(400, 10_000), 0.01, higher_is_better=True).passed is False


def test_lift__margin__is_a_fraction_of_the_control() -> None:
    assert noninferiority_lift(_arm(100), _arm(99.8), 0.02, higher_is_better=True).passed is True
    assert noninferiority_lift(_arm(100), _arm(97.5), 0.02, higher_is_better=True).passed is False


def test_guardrails__undefined__neither_pass_nor_fail() -> None:
    results = [
        noninferiority_mean(_arm(1, 0), _arm(1), 1, higher_is_better=True),
        noninferiority_mean(_arm(1, sd=0), _arm(1, sd=0), 1, higher_is_better=True),
        noninferiority_proportion(Proportion(0, 9), Proportion(0, 9), 0.1, higher_is_better=False),
        noninferiority_proportion(Proportion(0, 0), Proportion(1, 9), 0.1, higher_is_better=False),
        noninferiority_lift(_arm(0), _arm(1), 0.1, higher_is_better=True),
        noninferiority_lift(_arm(1, 0), _arm(1), 0.1, higher_is_better=True),
    ]
    for result in results:
        assert (result.p_value, result.bound, result.passed) == (None, None, None)
        assert result.reason


def test_guardrails__no_margin__is_refused() -> None:
    with pytest.raises(ValueError, match="margin"):
        noninferiority_mean(_arm(1), _arm(1), 0, higher_is_better=True)
