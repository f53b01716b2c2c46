"""Conversion rates at the edges, where a formula without care would answer with a neutral-looking number."""

import pytest

from experiments.statistics.proportions import proportion_interval, proportion_lift, proportion_test, wilson_limits
from experiments.statistics.summaries import Proportion


def test_proportion__two_days_of_users__add() -> None:
    assert Proportion(3, 40) + Proportion(5, 60) == Proportion(8, 100)


def test_proportion__more_conversions_than_users__is_refused() -> None:
    with pytest.raises(ValueError, match="conversions"):
        Proportion(5, 4)


@pytest.mark.parametrize(
    ("control", "treatment", "diff"),
    [
        (Proportion(0, 0), Proportion(5, 10), None),
        (Proportion(0, 10), Proportion(0, 20), 0.0),
        (Proportion(10, 10), Proportion(20, 20), 0.0),
    ],
)
def test_test__undefined__is_none_with_a_reason(control, treatment, diff) -> None:
    result = proportion_test(control, treatment)
    assert (result.diff, result.z, result.p_value) == (diff, None, None)
    assert result.reason


def test_test__tiny_p_value__does_not_underflow() -> None:
    p_value = proportion_test(Proportion(2000, 400000), Proportion(4700, 400000)).p_value
    assert p_value is not None
    assert 0 < p_value < 1e-200


def test_interval__few_conversions__is_newcombe() -> None:
    assert proportion_interval(Proportion(3, 40), Proportion(9, 45)).method == "newcombe"
    assert proportion_interval(Proportion(31, 40), Proportion(36, 45)).method == "newcombe"
    assert proportion_interval(Proportion(10, 40), Proportion(12, 45)).method == "wald"


def test_interval__no_conversions__has_width_by_newcombe_and_none_by_wald() -> None:
    control, treatment = Proportion(0, 50), Proportion(0, 50)
    newcombe = proportion_interval(control, treatment)
    assert newcombe.ci_low is not None
    assert newcombe.ci_high is not None
    assert newcombe.ci_low < 0 < newcombe.ci_high
    wald = proportion_interval(control, treatment, method="wald")
    assert (wald.ci_low, wald.ci_high) == (None, None)
    assert wald.reason


def test_wilson__extreme_rates__stays_inside_the_unit_interval() -> None:
    assert wilson_limits(Proportion(0, 10)) == pytest.approx((0, 0.27753279), abs=1e-8)
    assert wilson_limits(Proportion(10, 10)) == pytest.approx((0.72246721, 1), abs=1e-8)
    assert wilson_limits(Proportion(0, 0)) is None


def test_lift__zero_control__is_none_with_a_reason() -> None:
    result = proportion_lift(Proportion(0, 100), Proportion(5, 100))
    assert (result.lift, result.se, result.ci_low, result.ci_high) == (None, None, None, None)
    assert "control" in str(result.reason)


def test_lift__no_treatment_conversions__keeps_the_estimate_without_an_interval() -> None:
    for method in ("log", "delta"):
        result = proportion_lift(Proportion(20, 100), Proportion(0, 100), method=method)
        assert (result.lift, result.ci_low) == (-1, None)
        assert result.reason


@pytest.mark.parametrize(
    ("control", "treatment", "low", "high"),
    [
        # statsmodels 0.15: confint_proportions_2indep(compare="ratio", method="score", correction=False), less 1.
        (Proportion(7, 100), Proportion(3, 100), -0.87684526, 0.47460028),
        # Solved apart: the score statistic of no conversions is 3.8415 there.
        (Proportion(7, 100), Proportion(0, 100), -1.0, -0.46471659),
        (Proportion(50, 50), Proportion(60, 60), -0.06017185, 0.07682918),
    ],
)
def test_lift__score_interval__exists_where_the_others_do_not(control, treatment, low, high) -> None:
    """Found P2-10: 0 of n against 7 had no interval."""
    result = proportion_lift(control, treatment, method="koopman")
    assert (result.ci_low, result.ci_high) == pytest.approx((low, high), abs=1e-6)
    assert proportion_lift(control, treatment).ci_low is not None


def test_lift__few_control_conversions__is_by_log_ratio() -> None:
    assert proportion_lift(Proportion(29, 900), Proportion(120, 900)).method == "log"
    assert proportion_lift(Proportion(50, 900), Proportion(60, 900)).method == "log"
    assert proportion_lift(Proportion(50, 900), Proportion(70, 900)).method == "delta"
    assert proportion_lift(Proportion(300, 9000), Proportion(30, 1000)).method == "delta"


def test_alpha__outside_its_range__is_refused() -> None:
    with pytest.raises(ValueError, match="alpha"):
        proportion_interval(Proportion(1, 2), Proportion(1, 2), alpha=1.0)
