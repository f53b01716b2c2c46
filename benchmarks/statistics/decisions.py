"""Seeded simulations of what turns figures into decisions and acts: guardrails, ties, alarms, power, lifts."""

import math

import numpy as np

from benchmarks.statistics.simulations import Check, share_check
from experiments.statistics import always_valid, balance, guardrails, means, quantiles, srm
from experiments.statistics.distributions import Floats
from experiments.statistics.estimates import Estimate
from experiments.statistics.means import mean_estimate
from experiments.statistics.power import sample_size_proportions
from experiments.statistics.simulation import DailyDesign, simulate
from experiments.statistics.summaries import Moments, PairedMoments

LOOKS = np.unique(np.round(np.geomspace(10, 10_000, 24)).astype(int))
TUNED = 10_000


def _totals(rng: np.random.Generator, steps: Floats, share: float, spread: float | None) -> tuple[Floats, ...]:
    """Buyers, sums and sums of squares so far, for `steps` further users at each look, of shape (runs, looks).

    That share of them buys, for lognormal(spread) each; None: for 1 each.
    """
    buyers = rng.binomial(steps.astype(int), share)
    so_far = buyers.cumsum(axis=1).astype(float)
    if spread is None:
        return so_far, so_far, so_far
    values = rng.lognormal(0, spread, int(buyers.sum()))
    ends = buyers.ravel().cumsum()
    found = [so_far]
    for power in (values, values**2):
        running = np.concatenate([[0.0], power.cumsum()])
        found.append((running[ends] - running[ends - buyers.ravel()]).reshape(buyers.shape).cumsum(axis=1))
    return tuple(found)


def _guarded(users: int, buyers: float, total: float, squares: float) -> guardrails.GuardedArm:
    mean = total / users
    variance = max(0.0, squares - total * mean) / (users - 1) / users
    return guardrails.GuardedArm(Estimate(mean, variance, users), users, buyers)


def guardrail_alarms(rng: np.random.Generator, runs: int) -> list[Check]:
    """Guardrails without harm, margin 5 %, at 24 looks from 20 to 20,000 users of both arms."""
    cases = [
        ("revenue, 0.5 % buyers, lognormal(1)", 0.005, 1.0),
        ("revenue, 3 % buyers, lognormal(1)", 0.03, 1.0),
        ("rate of 0.5 %", 0.005, None),
        ("rate of 2 %", 0.02, None),
    ]
    checks = []
    for name, share, spread in cases:
        steps = np.broadcast_to(np.diff(LOOKS, prepend=0), (runs, LOOKS.size))
        control, treatment = (_totals(rng, steps, share, spread) for _ in range(2))
        violated = [
            any(
                guardrails.harm_shown(
                    _guarded(int(users), *(figure[run, look] for figure in control)),
                    _guarded(int(users), *(figure[run, look] for figure in treatment)),
                    0.05,
                    TUNED,
                    higher_is_better=False,
                ).is_shown
                for look, users in enumerate(LOOKS)
            )
            for run in range(runs)
        ]
        checks.append(share_check("guardrail without harm, 20 to 20,000 users", f"{name}: violated", violated, 0.05))
    return checks


def at_the_margin(rng: np.random.Generator, runs: int) -> list[Check]:
    """True harm exactly at the margin: how often the guardrail passes, at 5 % nominal."""
    group = "guardrail, harm exactly at the margin: passes"
    checks = []
    for name, rate, margin, users in (
        ("error rate 1 %, margin 40 %", 0.01, 0.4, 20_000),
        ("error rate 0.2 %, margin 50 %", 0.002, 0.5, 50_000),
    ):
        control, treatment = rng.binomial(users, rate, runs), rng.binomial(users, rate * (1 + margin), runs)
        passed = [
            guardrails.noninferiority_contrast(
                _of_count(c, users), _of_count(t, users), margin, higher_is_better=False
            ).passed
            is True
            for c, t in zip(control, treatment, strict=True)
        ]
        checks.append(share_check(group, name, passed, 0.055))
    passed = []
    for _ in range(runs // 4):
        arms = (Moments.from_values(rng.lognormal(0, 2, 4000) * factor) for factor in (1, 1.4))
        found = guardrails.noninferiority_contrast(*map(mean_estimate, arms), 0.4, higher_is_better=False)
        passed.append(found.passed is True)
    checks.append(share_check(group, "cost, lognormal(2), margin 40 %", passed, 0.055))
    return checks


def _of_count(conversions: int, users: int) -> Estimate:
    rate = conversions / users
    return Estimate(rate, rate * (1 - rate) / (users - 1), users)


def tied_quantiles(rng: np.random.Generator, runs: int) -> list[Check]:
    """Medians of rounded latencies and of numbers of items, without an effect."""

    def latencies(step: float) -> tuple[Floats, np.ndarray]:
        owner = np.repeat(np.arange(400), rng.poisson(5, 400) + 1)
        values = np.exp(5.3 + 0.5 * rng.normal(0, 1, 400)[owner] + 0.5 * rng.normal(0, 1, owner.size))
        return np.round(values / step) * step, owner

    def items() -> tuple[Floats, np.ndarray]:
        return rng.geometric(0.35, 1500).astype(float), np.arange(1500)

    cases = [
        ("latency in steps of 100 ms", lambda: latencies(100)),
        ("latency in steps of 10 ms", lambda: latencies(10)),
        ("latency in steps of 1 ms", lambda: latencies(1)),
        ("items of an order", items),
    ]
    checks = []
    for name, draw in cases:
        claims = [_quantile_p([draw(), draw()], 0.5) < 0.05 for _ in range(runs // 4)]
        checks.append(share_check("A/A, median with ties", name, claims, 0.06))
    return checks


def _quantile_p(arms: list[tuple[Floats, np.ndarray]], q: float) -> float:
    pooled = np.concatenate([values for values, _ in arms])
    value = float(np.quantile(pooled, q, method="inverted_cdf"))
    mass = float((pooled == value).mean())
    summaries = []
    for values, owner in arms:
        every = np.bincount(owner).astype(float)

        def users_with(chosen: np.ndarray, owner: np.ndarray = owner, every: Floats = every) -> PairedMoments:
            return PairedMoments.from_values(np.bincount(owner, chosen, every.size), every)

        q_hat, q_low, q_high = np.quantile(values, [q, *quantiles.probe_levels(values.size, q)])
        ties = quantiles.Ties(value, mass, users_with(values > value))
        summaries.append(
            quantiles.QuantileSummary(values.size, q_hat, q_low, q_high, users_with(values <= q_hat), ties)
        )
    if quantiles.is_tied(*summaries):
        return quantiles.tied_test(*summaries, q)[0].p_value or 1
    return quantiles.quantile_test(*summaries, q).p_value or 1


def do_not_trust(rng: np.random.Generator, runs: int) -> list[Check]:
    """Healthy experiments, 1,000 users a day: what blocks a verdict while they run, at any look.

    The sequential check of the sample ratio reads whole days; three metrics' past is read at every look.
    """
    return [
        share_check("healthy experiments: do not trust", name, _blocked(rng, runs, days, looks_a_day), 0.01)
        for name, days, looks_a_day in (("28 days, read daily", 28, 1), ("14 days, read hourly", 14, 24))
    ]


def _blocked(rng: np.random.Generator, runs: int, days: int, looks_a_day: int) -> np.ndarray:
    looks = days * looks_a_day
    arrivals = rng.binomial(1000 // looks_a_day, 0.5, (runs, looks))
    total = 1000 // looks_a_day
    users = np.stack([total - arrivals, arrivals], axis=2).cumsum(axis=1).astype(float)
    by_day = users[:, looks_a_day - 1 :: looks_a_day]
    evidence = srm.log_bayes_factors(by_day, np.array([0.5, 0.5]), srm.CONCENTRATION)
    blocked = (evidence >= math.log(srm.EVIDENCE_LIMIT)).any(axis=1)
    metrics: list[tuple[float, float | None]] = [(0.03, None), (0.2, None), (0.1, 1.0)]
    for share, spread in metrics:
        blocked |= _unbalanced(rng, users, share, spread, comparisons=len(metrics))
    return blocked


def _unbalanced(
    rng: np.random.Generator, users: Floats, share: float, spread: float | None, *, comparisons: int
) -> np.ndarray:
    """As `balance.pre_period_balance`, for all looks of all runs at once."""
    steps, arms = np.diff(users, axis=1, prepend=0), []
    is_judged = users.min(axis=2) >= guardrails.FEWEST_USERS
    for arm in range(2):
        _, sums, squares = _totals(rng, steps[..., arm], share, spread)
        n = np.maximum(users[..., arm], 2)
        arms.append((sums / n, np.maximum(squares - sums**2 / n, 1e-9) / (n - 1) / n))
        is_judged &= sums**2 >= guardrails.FEWEST_CONVERSIONS * np.maximum(squares, 1e-9)
    error = np.sqrt(arms[0][1] + arms[1][1])
    alpha = balance.BALANCE_ALPHA / comparisons
    information = users.sum(axis=2) * always_valid.tuning_rho(TUNED, alpha) ** 2
    factor = np.sqrt(2 * (information + 1) / information * np.log(np.sqrt(information + 1) / alpha))
    return ((np.abs(arms[1][0] - arms[0][0]) > factor * error) & is_judged).any(axis=1)


def planned_power(runs: int) -> list[Check]:
    """The default method at the size that the calculator plans for it: 10 % against 11 %, 80 % power, 14 looks."""
    fixed = sample_size_proportions(0.1, 0.11).n_control or 0
    daily = 2 * math.ceil(fixed * always_valid.inflation_factor(14) / 14)
    found = simulate(DailyDesign(daily, 14, 0.1, 0.01, "always_valid"), runs, seed=16)
    error = math.sqrt(0.8 * 0.2 / runs)
    group, name = "power at the planned size", f"always valid, {14 * daily:,} users"
    return [
        Check(group, name, found.claim_rate, error, 0.82),
        Check(group, name, found.claim_rate, error, 0.78, at_most=False),
    ]


def lifts(rng: np.random.Generator, runs: int) -> list[Check]:
    """Lifts of skewed means without an effect: the interval against the test, and its two tails."""
    group = "A/A, lift of skewed means"
    disagree, above, below = [], [], []
    for _ in range(runs // 2):
        arms = [Moments.from_values(rng.binomial(1, 0.3, 400) * rng.lognormal(3, 1, 400)) for _ in range(2)]
        lift, p_value = means.mean_lift(*arms), means.welch_test(*arms).p_value or 1
        low, high = lift.ci_low or 0.0, lift.ci_high or 0.0
        above.append(low > 0)
        below.append(high < 0)
        disagree.append((low > 0 or high < 0) != (p_value < 0.05))
    return [
        share_check(group, "interval and p disagree", disagree, 0.005),
        *(
            share_check(group, f"interval wholly {side} 0", hits, limit, at_most=at_most)
            for side, hits in (("above", above), ("below", below))
            for limit, at_most in ((0.03, True), (0.02, False))
        ),
    ]


def all_checks(rng: np.random.Generator, runs: int) -> list[Check]:
    """`runs` is the number of replications of what is vectorised; the others take a part of them."""
    return [
        *guardrail_alarms(rng, runs // 10),
        *at_the_margin(rng, runs),
        *tied_quantiles(rng, runs // 2),
        *do_not_trust(rng, runs // 4),
        *planned_power(runs),
        *lifts(rng, runs),
    ]
