"""Boundaries against multivariate normal integrals and simulated paths, at regular and awkward looks."""

import math

import numpy as np
import pytest
from scipy import stats

from experiments.statistics.group_sequential import (
    boundaries,
    classical_boundaries,
    crossing_probabilities,
    inflation_factor,
    repeated_interval,
)
from experiments.statistics.spending import SPENDING, spent_alpha

LOOKS = (0.1, 0.25, 0.5, 0.8, 1.0)


def _chance_of_crossing(z: tuple[float, ...], fractions: tuple[float, ...], sides: int) -> float:
    covariance = [[math.sqrt(min(a, b) / max(a, b)) for a in fractions] for b in fractions]
    low = [-bound if sides == 2 else -np.inf for bound in z]
    inside = stats.multivariate_normal.cdf(
        z, np.zeros(len(z)), covariance, lower_limit=low, abseps=1e-7, rng=np.random.default_rng(1)
    )
    return float(1 - inside)


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("spending", ["obf", "pocock", "power"])
@pytest.mark.parametrize("looks", [2, 3, 5])
def test_boundaries__any_look__have_spent_what_they_planned(sides: int, spending: str, looks: int) -> None:
    design = boundaries(LOOKS, 0.05, sides, spending, 2.0)
    z = tuple(bound for bound in design.z[:looks] if bound is not None)
    assert _chance_of_crossing(z, LOOKS[:looks], sides) == pytest.approx(design.cum_alpha[looks - 1], abs=2e-6)


def test_boundaries__later_looks__do_not_move_earlier_ones() -> None:
    assert boundaries(LOOKS).z[:3] == boundaries(LOOKS[:3]).z
    assert boundaries([*LOOKS[:3], 0.51, 0.97]).z[:3] == boundaries(LOOKS).z[:3]


def test_boundaries__past_the_plan__spend_the_rest_and_stop() -> None:
    design = boundaries([0.5, 1.2, 1.4])
    assert design.z[2] is None
    assert design.cum_alpha == (pytest.approx(0.00305, abs=1e-5), pytest.approx(0.05), pytest.approx(0.05))
    z = tuple(bound for bound in design.z if bound is not None)
    assert _chance_of_crossing(z, (0.5, 1.2), 2) == pytest.approx(0.05, abs=1e-6)


def test_boundaries__hopelessly_early_or_repeated_look__cannot_stop() -> None:
    design = boundaries([0.001, 0.5, 0.5 + 1e-9, 1])
    assert design.z[0] is None
    assert design.z[2] is None
    assert design.nominal_p[0] is None
    assert design.z[1] == pytest.approx(2.9626, abs=1e-4)


def test_boundaries__looks_very_close_together__stay_exact() -> None:
    fractions = [0.3, 0.6, 0.60001, 1.0]
    design = boundaries(fractions, spending="pocock")
    z = [bound for bound in design.z if bound is not None]
    assert crossing_probabilities(z, fractions)[-1] == pytest.approx(0.05, abs=1e-9)


def test_boundaries__a_hundred_looks__keep_alpha() -> None:
    fractions = [look / 100 for look in range(1, 101)]
    assert crossing_probabilities(boundaries(fractions).z, fractions)[-1] == pytest.approx(0.05, abs=1e-9)


def test_crossing__with_drift__agrees_with_simulated_paths() -> None:
    rng = np.random.default_rng(2)
    steps = np.diff((0, *LOOKS))
    paths = (rng.normal(size=(200_000, 5)) * np.sqrt(steps) + 2.5 * steps).cumsum(axis=1) / np.sqrt(LOOKS)
    z = [bound for bound in boundaries(LOOKS, spending="pocock").z if bound is not None]
    crossed = np.maximum.accumulate(np.abs(paths) >= z, axis=1).mean(axis=0)
    assert crossing_probabilities(z, LOOKS, drift=2.5) == pytest.approx(crossed, abs=0.004)


def test_crossing__one_sided__ignores_the_lower_tail() -> None:
    assert crossing_probabilities([1.6448536], [1.0], sides=1)[0] == pytest.approx(0.05)
    assert crossing_probabilities([1.6448536], [1.0], drift=-1, sides=1)[0] < 0.005


def test_classical__one_look__is_the_fixed_test() -> None:
    for kind in ("pocock", "obf"):
        assert classical_boundaries(1, 0.05, kind).constant == pytest.approx(1.959964)
        assert inflation_factor(1, 0.05, 0.8, kind) == pytest.approx(1, abs=1e-4)


def test_inflation__published_table__is_met() -> None:
    """Jennison and Turnbull 2000, tables 2.2 and 2.4, power 0.9."""
    assert inflation_factor(5, 0.05, 0.9, "pocock") == pytest.approx(1.207, abs=6e-4)
    assert inflation_factor(5, 0.05, 0.9, "obf") == pytest.approx(1.026, abs=6e-4)


def test_inflation__spending__is_close_to_the_classical_design() -> None:
    assert inflation_factor(14, kind="obf_spending") == pytest.approx(inflation_factor(14, kind="obf"), abs=0.01)


def test_spending__ends__are_nothing_and_everything() -> None:
    for spending in SPENDING:
        assert spent_alpha(1.0, 0.05, spending) == 0.05
        assert spent_alpha(1e-9, 0.05, spending) < 1e-7


@pytest.mark.parametrize("fractions", [[], [0.0, 1.0], [0.5, 0.5], [0.6, 0.4]])
def test_boundaries__looks_out_of_order__are_refused(fractions: list[float]) -> None:
    with pytest.raises(ValueError, match="rise strictly"):
        boundaries(fractions)


def test_repeated_interval__claims_only_what_excludes_zero() -> None:
    assert repeated_interval(3.0, 1.0, 2.9).is_significant
    assert not repeated_interval(3.0, 1.0, 3.1).is_significant
    for result in (repeated_interval(3.0, 1.0, None), repeated_interval(None, 1.0, 2.0), repeated_interval(1, 0, 2)):
        assert (result.ci_low, result.ci_high, result.is_significant) == (None, None, False)
        assert result.reason
