"""One cap for all arms: users are capped, never dropped, and a cap of nothing is refused."""

import numpy as np
import pytest

from experiments.statistics.winsorising import winsorise


def test_cap__pooled_users__is_the_same_in_every_arm() -> None:
    rng = np.random.default_rng(1)
    control, treatment = rng.pareto(1.5, 4000), rng.pareto(1.2, 6000)
    result = winsorise([control, treatment], 0.99)
    assert result.cap_high == np.quantile(np.concatenate([control, treatment]), 0.99)
    assert [arm.moments.n for arm in result.arms] == [4000, 6000]
    assert result.arms[1].n_capped == int((treatment > result.cap_high).sum())
    assert result.arms[1].share_capped == result.arms[1].n_capped / 6000
    assert result.arms[0].total == pytest.approx(np.minimum(control, result.cap_high).sum())


def test_cap__zeros__do_not_lower_it_and_stay() -> None:
    result = winsorise([[0.0] * 98 + [5.0, 10.0], [0.0] * 100], 0.5)
    assert result.cap_high == 7.5
    assert [arm.moments.n for arm in result.arms] == [100, 100]
    assert result.arms[0].total == 12.5


def test_cap__of_nothing__is_refused() -> None:
    values = [0.0] * 99 + [10.0]
    result = winsorise([values, values], 0.9, ignore_zeros=False)
    assert result.cap_high is None
    assert "0" in str(result.reason)
    assert [(arm.total, arm.n_capped) for arm in result.arms] == [(10.0, 0), (10.0, 0)]


@pytest.mark.parametrize("arms", [[[], []], [[0.0, 0.0], [0.0]]])
def test_cap__nobody_with_a_value__has_a_reason(arms: list[list[float]]) -> None:
    result = winsorise(arms)
    assert (result.cap_low, result.cap_high) == (None, None)
    assert result.reason


def test_cap__lower_side__is_raised_to_it() -> None:
    result = winsorise([[-100.0, 1.0, 2.0], [3.0, 4.0, 5.0]], None, 0.2)
    assert result.cap_high is None
    assert result.cap_low == 1.0
    assert (result.arms[0].total, result.arms[0].n_capped) == (4.0, 1)


def test_cap__impossible_quantile__is_refused() -> None:
    with pytest.raises(ValueError, match="quantile"):
        winsorise([[1.0]], 1.0)
