"""How often plans without harm are rolled back: at most in 5 %, however often they are looked at. And harm is found."""

import os

import numpy as np
import pytest
from scipy.stats import binom, norm

from benchmarks.rollouts.simulations import WITH_HARM, WITHOUT_HARM, is_rolled_back
from experiments.statistics.guardrails import GuardedArm

# Before a release: ROLLOUT_PLANS=4000. `python -m benchmarks.rollouts.simulations` says how often each was.
PLANS = int(os.environ.get("ROLLOUT_PLANS", "160"))


def most_of(count: int) -> int:
    """More than that would happen by chance in one of 10,000 runs, were it 5 %."""
    return int(binom.isf(0.0001, count, 0.05))


def test_plans__without_harm__are_rolled_back_in_5_percent_at_the_most() -> None:
    dice, count = np.random.default_rng(21), PLANS // len(WITHOUT_HARM)
    found = [sum(is_rolled_back(dice, *case) for _ in range(count)) for case in WITHOUT_HARM]
    assert sum(found) <= most_of(count * len(found)), dict(zip(WITHOUT_HARM, found, strict=True))


def test_plans__by_a_test_that_does_not_bear_looks__are_rolled_back_too_often() -> None:
    """So many plans tell the one from the other: were the guardrail's test such a one, the test above would fail."""

    def shown(pair: tuple[GuardedArm, GuardedArm], alpha: float) -> bool:
        rest, treated = (arm.estimate for arm in pair)
        error = (rest.variance + treated.variance) ** 0.5
        return bool(error) and (treated.value - rest.value) / error > norm.isf(alpha)

    dice = np.random.default_rng(21)
    found = sum(is_rolled_back(dice, *WITHOUT_HARM[0], shown) for _ in range(60))
    assert found > most_of(60)


@pytest.mark.parametrize(("rate", "effect", "goal"), WITH_HARM)
def test_plans__with_harm__are_rolled_back(rate: float, effect: float, goal: str) -> None:
    dice = np.random.default_rng(21)
    assert all(is_rolled_back(dice, rate, effect, goal) for _ in range(5))
