"""The simulator reproduces published error rates, and its shortcuts agree with the tests it stands for."""

import numpy as np
import pytest

from experiments.statistics.always_valid import asymptotic_sequence
from experiments.statistics.proportions import proportion_test
from experiments.statistics.simulation import METHODS, DailyDesign, _limits, _paths, simulate
from experiments.statistics.summaries import Proportion

AA = DailyDesign(users_per_day=2000, days=14, baseline=0.1, effect=0.0)


def _rate(**changes: object) -> float:
    design = {name: getattr(AA, name) for name in AA.__slots__} | changes
    return simulate(DailyDesign(**design), replications=8000, seed=3).claim_rate


def test_aa__fixed_test_read_daily__calls_a_fifth() -> None:
    assert _rate(method="peeking") == pytest.approx(0.22, abs=0.02)


@pytest.mark.parametrize("method", ["fixed", "obf", "pocock", "always_valid"])
@pytest.mark.parametrize("sd", [None, 7.0])
def test_aa__honest_methods__keep_five_percent(method: str, sd: float | None) -> None:
    """Public claim in Flagsmith's docs that peeking costs nothing: its formula calls 40 % of such A/A tests."""
    assert _rate(method=method, sd=sd) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 8000)


def test_aa__bayes_without_care__is_peeking_too() -> None:
    assert _rate(method="bayes") > 0.25


def test_effect__early_stops__are_biased_upward_and_reported() -> None:
    outcome = simulate(DailyDesign(2100, 14, 0.1, 0.01, "pocock"), replications=8000)
    assert outcome.mean_claimed_effect is not None
    assert outcome.mean_claimed_effect > 0.012
    assert sum(outcome.stop_days) == pytest.approx(1)
    assert outcome.mean_stop_day < 11
    assert outcome.right_direction_rate == pytest.approx(outcome.claim_rate, abs=0.002)


def test_seed__same__same_digits() -> None:
    assert simulate(AA, 500, seed=9) == simulate(AA, 500, seed=9)
    assert simulate(AA, 500, seed=9) != simulate(AA, 500, seed=10)


def test_shortcuts__last_look__are_the_public_tests() -> None:
    design = DailyDesign(1000, 5, 0.2, 0.05, "always_valid")
    effects, errors = _paths(design, 3, np.random.default_rng(1))
    rng = np.random.default_rng(1)
    control, treatment = (rng.binomial(500, rate, (3, 5)).sum(axis=1) for rate in (0.2, 0.25))
    for row in range(3):
        expected = proportion_test(Proportion(control[row], 2500), Proportion(treatment[row], 2500))
        assert effects[row, -1] == pytest.approx(expected.diff)
        assert effects[row, -1] / errors[row, -1] == pytest.approx(expected.z)
        sequence = asymptotic_sequence(effects[row, 2], errors[row, 2], 3000, 5000)
        assert _limits(design, errors)[row, 2] == pytest.approx(sequence.half_width)


@pytest.mark.parametrize(
    "changes",
    [{"method": "guess"}, {"baseline": 1.0}, {"effect": 0.95}, {"days": 0}, {"users_per_day": 1}, {"sd": 0.0}],
)
def test_design__senseless__is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"method|rates|simulation|deviation"):
        _rate(**changes)


def test_methods__all__run() -> None:
    for method in METHODS:
        assert 0 <= _rate(method=method) <= 1
