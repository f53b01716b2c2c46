"""Whether two arms were alike before the experiment, read at any number of looks."""

import math
from dataclasses import dataclass

from experiments.statistics.always_valid import asymptotic_sequence
from experiments.statistics.estimates import compare
from experiments.statistics.guardrails import FEWEST_CONVERSIONS, FEWEST_USERS
from experiments.statistics.means import mean_estimate
from experiments.statistics.summaries import NO_USERS, Moments

BALANCE_ALPHA = 0.01


@dataclass(frozen=True, slots=True)
class Balance:
    """`standard_errors`: treatment minus control in its own error. `is_balanced` None: too few users to say."""

    standard_errors: float | None
    is_balanced: bool | None
    reason: str | None = None


def pre_period_balance(
    control: Moments, treatment: Moments, n_tune: float, comparisons: int = 1, alpha: float = BALANCE_ALPHA
) -> Balance:
    """Is the difference of the means before the start within an asymptotic confidence sequence around 0?

    Over all looks and `comparisons` together a healthy experiment is called unbalanced with probability at most alpha
    (Bonferroni over comparisons). The sequence rests on a central limit theorem, so arms below 100 users or 25 active
    users get no judgement; (sum x)^2 / sum x^2 counts those, and fewer where few users make most of the sum.
    """
    if control.n == 0 or treatment.n == 0:
        return Balance(None, None, NO_USERS)
    test = compare(mean_estimate(control), mean_estimate(treatment), alpha)
    if test.diff is None or test.se is None or test.t is None:
        return Balance(None, None, test.reason)
    if min(control.n, treatment.n) < FEWEST_USERS:
        return Balance(test.t, None, f"the time before is judged from {FEWEST_USERS} users an arm on")
    if min(map(_active_users, (control, treatment))) < FEWEST_CONVERSIONS:
        return Balance(test.t, None, f"the time before is judged from {FEWEST_CONVERSIONS} active users an arm on")
    found = asymptotic_sequence(test.diff, test.se, control.n + treatment.n, n_tune, alpha=alpha / comparisons)
    if found.half_width is None:
        return Balance(test.t, None, found.reason)
    return Balance(test.t, math.fabs(test.diff) <= found.half_width)


def _active_users(arm: Moments) -> float:
    return arm.total**2 / arm.squares if arm.squares > 0 else 0.0
