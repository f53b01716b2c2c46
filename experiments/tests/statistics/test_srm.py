"""Sample ratio mismatch: empty arms, holdouts, quiet days and alarms."""

import math

import numpy as np
import pytest

from experiments.statistics.srm import DAILY_ALPHA, day_budget, srm_daily, srm_monitor, srm_sequential, srm_test


def test_srm__empty_arm_with_weight__stays_in() -> None:
    result = srm_test([100, 0], [0.5, 0.5])
    assert (result.chi2, result.df) == (100, 1)


def test_srm__users_in_an_arm_without_weight__are_an_alert_of_their_own() -> None:
    result = srm_test([50, 50, 7], [1, 1, 0])
    assert (result.chi2, result.df, result.unexpected_users) == (0, 1, 7)


@pytest.mark.parametrize(("counts", "weights"), [([0, 0], [1, 1]), ([10, 3], [1, 0]), ([0, 0, 4], [1, 1, 0])])
def test_srm__nothing_to_test__is_none_with_a_reason(counts, weights) -> None:
    result = srm_test(counts, weights)
    assert (result.chi2, result.p_value) == (None, None)
    assert result.reason


@pytest.mark.parametrize("weights", [[], [0, 0], [1, -1], [1, math.nan]])
def test_srm__senseless_weights__are_refused(weights) -> None:
    with pytest.raises(ValueError, match="weights"):
        srm_test([1] * len(weights), weights)


def test_daily__quiet_days__are_skipped_yet_counted_overall() -> None:
    result = srm_daily([[4, 5], [300, 200], [0, 0]], [1, 1])
    assert result.p_days[0] is None
    assert result.p_days[2] is None
    assert result.p_days_holm[1] == result.p_days[1] == result.p_min_holm
    assert result.p_overall == srm_test([304, 205], [1, 1]).p_value


def test_sequential__quiet_day__changes_nothing() -> None:
    with_gap = srm_sequential([[60, 50], [0, 0], [70, 64]], [1, 1])
    without = srm_sequential([[60, 50], [70, 64]], [1, 1])
    assert with_gap.log_bf[1] == pytest.approx(with_gap.log_bf[0])
    assert with_gap.log_bf[2] == pytest.approx(without.log_bf[1])


def test_sequential__p_value__never_rises() -> None:
    rng = np.random.default_rng(5)
    result = srm_sequential(rng.multinomial(500, [0.5, 0.5], 40).tolist(), [1, 1])
    assert all(after <= before for before, after in zip(result.p_values, result.p_values[1:], strict=False))
    assert len(result.p_values) == 40


def test_sequential__arm_without_weight__is_left_out() -> None:
    result = srm_sequential([[60, 50, 9]], [1, 1, 0])
    assert result.log_bf == pytest.approx(srm_sequential([[60, 50]], [1, 1]).log_bf)
    assert result.unexpected_users == 9


def test_sequential__expected_e_value__is_one() -> None:
    """The e-value's mean under a healthy split is exactly 1: summed over all outcomes of 40 users."""
    outcomes = np.arange(41)
    log_bf = np.array([srm_sequential([[x, 40 - x]], [0.3, 0.7], 50).log_bf[0] for x in outcomes])
    chances = [math.comb(40, int(x)) * 0.3**x * 0.7 ** (40 - x) for x in outcomes]
    assert float(np.exp(log_bf) @ chances) == pytest.approx(1, rel=1e-9)


def test_monitor__daily_budget__sums_to_its_promise() -> None:
    spent = sum(day_budget(day, 14) for day in range(10_000))
    assert spent < DAILY_ALPHA * (1 + 1 / 15)


def test_monitor__healthy_split__is_silent() -> None:
    assert not srm_monitor([[2510, 2490]] * 14, [1, 1]).is_alarming


def test_monitor__slow_leak__is_found_by_the_evidence() -> None:
    result = srm_monitor([[2450, 2550]] * 14, [1, 1])
    assert result.is_alarming
    assert result.first_evidence_day is not None
    assert result.daily_alarms == ()


def test_monitor__one_bad_day__is_found_by_that_day() -> None:
    result = srm_monitor([[2500, 2500]] * 10 + [[2330, 2670]], [1, 1])
    assert result.daily_alarms == (10,)
    assert result.first_evidence_day is None
