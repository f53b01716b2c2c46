"""How often plans without harm are rolled back: at most in 5 %, however often they are looked at. And harm is found."""

import os

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks.rollouts.simulations import WITH_HARM, WITHOUT_HARM, is_rolled_back

# Before a release: ROLLOUT_PLANS=4000. `python -m benchmarks.rollouts.simulations` says how often each was.
PLANS = int(os.environ.get("ROLLOUT_PLANS", "48"))


@pytest.mark.parametrize(("rate", "effect", "goal"), WITHOUT_HARM)
def test_plans__without_harm__are_rolled_back_in_5_percent_at_the_most(rate: float, effect: float, goal: str) -> None:
    dice, count = np.random.default_rng(21), PLANS // len(WITHOUT_HARM)
    found = sum(is_rolled_back(dice, rate, effect, goal) for _ in range(count))
    # More than that would happen by chance in one of 10,000 runs, were it 5 %.
    assert found <= binom.isf(0.0001, count, 0.05), f"{found} of {count}"


@pytest.mark.parametrize(("rate", "effect", "goal"), WITH_HARM)
def test_plans__with_harm__are_rolled_back(rate: float, effect: float, goal: str) -> None:
    dice = np.random.default_rng(21)
    assert all(is_rolled_back(dice, rate, effect, goal) for _ in range(5))
