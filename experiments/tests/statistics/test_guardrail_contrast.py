"""Found P0-2 and P0-3: rare and heavy-tailed guardrails keep their error rates, at the margin and at every look."""

import numpy as np
import pytest

from experiments.statistics.always_valid import inflation_factor, sequence_bounds
from experiments.statistics.estimates import Estimate
from experiments.statistics.group_sequential import crossing_probabilities
from experiments.statistics.guardrails import GuardedArm, harm_shown, noninferiority_contrast

LOOKS = np.unique(np.geomspace(10, 10_000, 30).astype(int))


def estimate(values: np.ndarray) -> Estimate:
    return Estimate(float(values.mean()), float(values.var(ddof=1)) / values.size, values.size)


def guarded(values: np.ndarray) -> GuardedArm:
    return GuardedArm(estimate(values), values.size, int(np.count_nonzero(values)))


@pytest.mark.parametrize(("rate", "margin", "users"), [(0.01, 0.4, 20_000), (0.002, 0.5, 50_000)])
def test_contrast__harm_exactly_at_the_margin__passes_in_at_most_5_percent(rate, margin, users):
    rng = np.random.default_rng(7)
    passed = 0
    for hits_c, hits_t in zip(
        rng.binomial(users, rate, 4000), rng.binomial(users, rate * (1 + margin), 4000), strict=True
    ):
        arms = [Estimate(x / users, x / users * (1 - x / users) / users, users) for x in (hits_c, hits_t)]
        passed += bool(noninferiority_contrast(*arms, margin, higher_is_better=False).passed)
    assert 0.03 < passed / 4000 < 0.055


def test_contrast__either_direction_and_a_negative_control__are_mirror_images():
    control, treatment = Estimate(10.0, 0.04, 500), Estimate(9.8, 0.05, 500)
    found = noninferiority_contrast(control, treatment, 0.05, higher_is_better=True)
    mirrored = noninferiority_contrast(
        Estimate(-10.0, 0.04, 500), Estimate(-9.8, 0.05, 500), 0.05, higher_is_better=False
    )
    assert found.statistic == pytest.approx((9.8 - 9.5) / np.sqrt(0.05 + 0.95**2 * 0.04))
    assert found.p_value == pytest.approx(mirrored.p_value)
    assert found.bound == pytest.approx(-mirrored.bound)


@pytest.mark.parametrize(("rate", "is_revenue"), [(0.005, True), (0.03, True), (0.005, False), (0.02, False)])
def test_harm__nothing_differs__is_shown_in_at_most_5_percent_over_all_looks(rate, is_revenue):
    rng = np.random.default_rng(11)
    runs = 150
    shown = 0
    for _ in range(runs):
        arms = [(rng.random(10_000) < rate).astype(float) for _ in range(2)]
        if is_revenue:
            arms = [arm * rng.lognormal(0, 1, 10_000) for arm in arms]
        judged = (
            harm_shown(*(guarded(arm[:look]) for arm in arms), 0.05, 20_000, higher_is_better=True) for look in LOOKS
        )
        shown += any(found.is_shown for found in judged)
    assert shown / runs <= 0.05


def test_harm__real__is_shown():
    rng = np.random.default_rng(3)
    control, treatment = (rng.random(5000) < 0.10).astype(float), (rng.random(5000) < 0.04).astype(float)
    found = harm_shown(guarded(control), guarded(treatment), 0.05, 10_000, higher_is_better=True)
    assert found.is_shown is True
    assert found.bound < 0


def test_harm__five_buyers_against_one__is_no_judgement():
    few = GuardedArm(Estimate(0.05, 0.0005, 100), 100, 5)
    found = harm_shown(few, few, 0.05, 10_000, higher_is_better=True)
    assert (found.is_shown, found.reason) == (None, "harm is judged from 25 conversions an arm on")


def test_inflation__always_valid__reaches_its_power_at_the_planned_size():
    """Found P1-1: the plan for the default method had a true power of .47."""
    fractions = tuple(look / 14 for look in range(1, 15))
    drift = (1.959964 + 0.841621) * np.sqrt(inflation_factor(14))
    assert inflation_factor(14) == pytest.approx(1.76, abs=0.01)
    assert crossing_probabilities(sequence_bounds(fractions), fractions, drift)[-1] == pytest.approx(0.8, abs=0.002)
    assert crossing_probabilities(sequence_bounds(fractions), fractions)[-1] < 0.05
