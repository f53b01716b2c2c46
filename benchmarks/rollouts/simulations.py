"""Plans whose variant does nothing, or harm, and how often a guardrail rolls them back.

`python -m benchmarks.rollouts.simulations [--plans 4000]`; the tests run the same with fewer plans.
"""

import argparse
from collections.abc import Callable
from typing import Final

import numpy as np

from benchmarks.world import machine, report

SHARES: Final = (0.01, 0.05, 0.25, 0.5)
LOOKS: Final = 30
USERS_A_LOOK: Final = 2_000
# Rate of the metric, what the variant makes of it, which way it should go.
WITHOUT_HARM: Final = [(rate, 1.0, goal) for rate in (0.1, 0.002) for goal in ("decrease", "increase")]
WITH_HARM: Final = [(0.1, 1.5, "decrease"), (0.002, 10.0, "decrease"), (0.1, 0.0, "increase")]


# Each share is watched, and the step after them ends the plan.
STEPS: Final = [*({"percent": 100 * share, "guardrails": [{"metric": "m"}]} for share in SHARES), {"percent": 100}]


def is_rolled_back(
    dice: np.random.Generator, rate: float, effect: float, goal: str, shown: Callable[..., bool] | None = None
) -> bool:
    """Four steps, each looked at 30 times while users come; each judgement has its part of the error.

    `shown` judges both arms by an error, in place of the guardrail's own test.
    """
    from experiments.analysis.guards import GUARDRAIL_ALPHA  # noqa: PLC0415 - after setup
    from experiments.models import Metric  # noqa: PLC0415 - likewise
    from experiments.statistics.estimates import Estimate  # noqa: PLC0415 - likewise
    from experiments.statistics.guardrails import GuardedArm  # noqa: PLC0415 - likewise
    from rollouts.guardrails import harm  # noqa: PLC0415 - likewise
    from rollouts.planning.plan_fields import judgements_in  # noqa: PLC0415 - likewise

    def arm(events: float, users: float) -> GuardedArm:
        found = events / users if users else 0.0
        return GuardedArm(Estimate(found, found * (1 - found) / users if users else 0.0, users), users, events)

    metric, alpha = Metric(goal=goal), GUARDRAIL_ALPHA / judgements_in(STEPS)
    for share in SHARES:
        treated = dice.binomial(USERS_A_LOOK, share, LOOKS)
        rest = USERS_A_LOOK - treated
        users = np.cumsum([rest, treated], axis=1)
        events = np.cumsum([dice.binomial(rest, rate), dice.binomial(treated, min(rate * effect, 1.0))], axis=1)
        for look in range(LOOKS):
            pair = arm(events[0, look], users[0, look]), arm(events[1, look], users[1, look])
            if shown(pair, alpha) if shown is not None else harm(metric, pair, 0.01, alpha).is_shown:
                return True
    return False


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--plans", type=int, default=4_000)
    plans = parser.parse_args().plans
    import django  # noqa: PLC0415 - the environment is set around it

    django.setup()
    dice = np.random.default_rng(21)
    lines = [
        "## Rollout plans: guardrails",
        "",
        f"`python -m benchmarks.rollouts.simulations --plans {plans}`: plans of {len(SHARES)} steps, each looked at "
        f"{LOOKS} times while {USERS_A_LOOK:,} users come between two looks; margin 1 %. {machine()}.",
        "",
        "| the variant | metric | rolled back | promise |",
        "|---|---|---|---|",
    ]
    for cases, promise in ((WITHOUT_HARM, "at most 5 %"), (WITH_HARM, "all")):
        for rate, effect, goal in cases:
            count = plans // len(cases)
            found = sum(is_rolled_back(dice, rate, effect, goal) for _ in range(count))
            does = "does nothing" if effect == 1 else f"makes it {effect:g} times as much"
            lines.append(f"| {does} | rate {rate:g}, wanted to {goal} | {found / count:.2%} of {count:,} | {promise} |")
    report("rollout guardrails", lines)


if __name__ == "__main__":
    main()
