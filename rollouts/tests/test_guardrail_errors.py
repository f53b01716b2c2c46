"""How often plans without harm are rolled back: at most in 5 %, however often they are looked at. And harm is found."""

import os

import numpy as np
import pytest
from scipy.stats import binom

from experiments.analysis.guards import GUARDRAIL_ALPHA
from experiments.models import Metric
from experiments.statistics.estimates import Estimate
from experiments.statistics.guardrails import GuardedArm
from rollouts.guardrails import _harm

# Before a release: ROLLOUT_PLANS=4000.
PLANS = int(os.environ.get("ROLLOUT_PLANS", "48"))
SHARES, LOOKS, USERS_A_LOOK = (0.01, 0.05, 0.25, 0.5), 30, 2_000


def _arm(events: float, users: float) -> GuardedArm:
    rate = events / users if users else 0.0
    return GuardedArm(Estimate(rate, rate * (1 - rate) / users if users else 0.0, users), users, events)


def _is_rolled_back(dice: np.random.Generator, rate: float, effect: float, goal: str) -> bool:
    """Four steps, each looked at 30 times while users come; each judgement has its part of the error."""
    metric = Metric(goal=goal)
    for share in SHARES:
        treated = dice.binomial(USERS_A_LOOK, share, LOOKS)
        rest = USERS_A_LOOK - treated
        users = np.cumsum([rest, treated], axis=1)
        events = np.cumsum([dice.binomial(rest, rate), dice.binomial(treated, min(rate * effect, 1.0))], axis=1)
        for look in range(LOOKS):
            pair = _arm(events[0, look], users[0, look]), _arm(events[1, look], users[1, look])
            if _harm(metric, pair, 0.01, GUARDRAIL_ALPHA / len(SHARES)).is_shown:
                return True
    return False


@pytest.mark.parametrize("goal", ["decrease", "increase"])
@pytest.mark.parametrize("rate", [0.1, 0.002])
def test_plans__without_harm__are_rolled_back_in_5_percent_at_the_most(rate: float, goal: str) -> None:
    dice = np.random.default_rng(21)
    found = sum(_is_rolled_back(dice, rate, 1.0, goal) for _ in range(PLANS // 4))
    # More than that would happen by chance in one of 10,000 runs, were it 5 %.
    assert found <= binom.isf(0.0001, PLANS // 4, 0.05), f"{found} of {PLANS // 4}"


def test_plans__with_harm__are_rolled_back() -> None:
    dice = np.random.default_rng(21)
    assert all(_is_rolled_back(dice, 0.1, 1.5, "decrease") for _ in range(5))
    assert all(_is_rolled_back(dice, 0.002, 10.0, "decrease") for _ in range(5))
    assert all(_is_rolled_back(dice, 0.1, 0.0, "increase") for _ in range(5))
