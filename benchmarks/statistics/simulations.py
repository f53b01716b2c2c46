"""Seeded simulations behind the promises of `experiments.statistics`: error rates, coverage, alarms, variance."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import special

from experiments.statistics import always_valid, cuped, group_sequential, means, proportions, quantiles, ratios, srm
from experiments.statistics.power import sample_size_proportions
from experiments.statistics.simulation import DailyDesign, Outcome, simulate
from experiments.statistics.summaries import Moments, PairedMoments, Proportion

Z99 = 3.0


@dataclass(frozen=True, slots=True)
class Check:
    """A measured share against its promise; `limit` None marks a figure shown for comparison only."""

    group: str
    name: str
    measured: float
    error: float
    limit: float | None = None
    at_most: bool = True

    @property
    def is_met(self) -> bool:
        """Within three simulation errors of the limit, taken at the limit itself."""
        if self.limit is None:
            return True
        return (
            self.measured <= self.limit + Z99 * self.error
            if self.at_most
            else (self.measured >= self.limit - Z99 * self.error)
        )


def share_check(
    group: str, name: str, hits: Iterable[bool] | np.ndarray, limit: float | None = None, *, at_most: bool = True
) -> Check:
    array = np.asarray(list(hits) if not isinstance(hits, np.ndarray) else hits, dtype=float)
    rate = float(array.mean())
    base = rate if limit is None else limit
    return Check(group, name, rate, math.sqrt(base * (1 - base) / array.size), limit, at_most)


def _pairs(rng: np.random.Generator, n: int) -> PairedMoments:
    """Views per user (x) and clicks (y), whose click rate differs from user to user."""
    x = rng.poisson(5, n) + 1.0
    return PairedMoments.from_values(rng.binomial(x.astype(int), rng.beta(1, 9, n)).astype(float), x)


def _revenue(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.where(rng.random(n) < 0.3, rng.lognormal(3, 1, n), 0.0)


def _past(rng: np.random.Generator, n: int, correlation: float) -> PairedMoments:
    x = rng.normal(0, 1, n)
    return PairedMoments.from_values(20 + correlation * x + math.sqrt(1 - correlation**2) * rng.normal(0, 1, n), x + 20)


def _latency(rng: np.random.Generator, users: int, q: float) -> quantiles.QuantileSummary:
    """Events that nest in users: a user's own speed, then noise."""
    owner = np.repeat(np.arange(users), rng.poisson(4, users) + 1)
    values = np.exp(5 + 0.6 * rng.normal(0, 1, users)[owner] + 0.4 * rng.normal(0, 1, owner.size))
    q_hat, q_low, q_high = np.quantile(values, [q, *quantiles.probe_levels(values.size, q)])
    below = np.bincount(owner, values <= q_hat, minlength=users)
    per_user = PairedMoments.from_values(below, np.bincount(owner, minlength=users).astype(float))
    return quantiles.QuantileSummary(values.size, q_hat, q_low, q_high, per_user)


def fixed_horizon(rng: np.random.Generator, runs: int) -> list[Check]:
    """A/A tests read once."""
    group = "A/A, one look"
    rate_c, rate_t = rng.binomial(5000, 0.05, runs), rng.binomial(5000, 0.05, runs)
    rates = [(Proportion(int(c), 5000), Proportion(int(t), 5000)) for c, t in zip(rate_c, rate_t, strict=True)]
    slow = runs // 4
    ratio_p, naive_p = [], []
    for _ in range(slow):
        control, treatment = _pairs(rng, 1000), _pairs(rng, 1000)
        ratio_p.append(ratios.ratio_test(control, treatment).p_value or 1)
        events = [Proportion(arm.n * arm.mean_y, arm.n * arm.mean_x) for arm in (control, treatment)]
        naive_p.append(proportions.proportion_test(*events).p_value or 1)
    welch_p = [
        means.welch_test(*(Moments.from_values(_revenue(rng, 1500)) for _ in range(2))).p_value or 1
        for _ in range(slow)
    ]
    cuped_p = [cuped.cuped_test(_past(rng, 500, 0.7), _past(rng, 500, 0.7)).p_value or 1 for _ in range(slow)]
    clustered, alone = [], []
    for _ in range(slow):
        arms = [_latency(rng, 400, 0.9) for _ in range(2)]
        clustered.append(quantiles.quantile_test(*arms, 0.9).p_value or 1)
        bare = [quantiles.QuantileSummary(arm.n, arm.q_hat, arm.q_low, arm.q_high) for arm in arms]
        alone.append(quantiles.quantile_test(*bare, 0.9).p_value or 1)
    return [
        share_check(
            group, "two proportions", [(proportions.proportion_test(*r).p_value or 1) < 0.05 for r in rates], 0.05
        ),
        share_check(group, "means of skewed revenue (Welch)", np.array(welch_p) < 0.05, 0.05),
        share_check(group, "ratio, users as units (delta method)", np.array(ratio_p) < 0.05, 0.05),
        share_check(group, "CUPED", np.array(cuped_p) < 0.05, 0.05),
        share_check(group, "p90 of events nested in users", np.array(clustered) < 0.05, 0.05),
        share_check(group, "for comparison: ratio, events as units", np.array(naive_p) < 0.05),
        share_check(group, "for comparison: p90 without the cluster factor", np.array(alone) < 0.05),
    ]


def daily_looks(runs: int) -> tuple[list[Check], dict[str, Outcome], dict[str, Outcome]]:
    """14 daily looks at a conversion rate of 10 %, sized for 80 % power at one point with a single look."""
    size = sample_size_proportions(0.1, 0.11).n_control or 0
    users = 2 * math.ceil(size / 14)
    methods = ("fixed", "obf", "pocock", "always_valid", "peeking", "bayes")
    null = {name: simulate(DailyDesign(users, 14, 0.1, 0.0, name), runs, seed=14) for name in methods}
    effect = {name: simulate(DailyDesign(users, 14, 0.1, 0.01, name), runs, seed=15) for name in methods}
    error = math.sqrt(0.05 * 0.95 / runs)
    honest = {"fixed": "one look at the end", "obf": "O'Brien-Fleming spending (default)", "pocock": "Pocock spending"}
    honest["always_valid"] = "asymptotic confidence sequence"
    others = {
        "peeking": "for comparison: the fixed test, read daily",
        "bayes": "for comparison: 95 % to beat control, read daily",
    }
    checks = [Check("A/A, 14 daily looks", label, null[name].claim_rate, error, 0.05) for name, label in honest.items()]
    checks += [Check("A/A, 14 daily looks", label, null[name].claim_rate, error) for name, label in others.items()]
    return checks, null, effect


def hundred_looks(rng: np.random.Generator, runs: int) -> tuple[list[Check], dict[str, np.ndarray]]:
    """100 looks at A/A data, 200 users a look and arm; sequences tuned to the middle."""
    n = 200.0 * np.arange(1, 101)
    looks = range(100)
    effects = (rng.normal(0, 1 / math.sqrt(200), (runs, 100)) - rng.normal(0, 1 / math.sqrt(200), (runs, 100))).cumsum(
        axis=1
    ) / np.arange(1, 101)
    errors = np.sqrt(2 / n)
    sequence = [
        always_valid.asymptotic_sequence(0, errors[k], 2 * n[k], n_tune=20_000).half_width or math.inf for k in looks
    ]
    mixture = [always_valid.msprt(0, errors[k] ** 2, tau2=2 / 10_000).half_width or math.inf for k in looks]
    bounds = group_sequential.boundaries([look / 100 for look in range(1, 101)]).z
    spending = [(math.inf if bound is None else bound) * errors[k] for k, bound in enumerate(bounds)]
    limits = {
        "asymptotic confidence sequence": np.array(sequence),
        "mSPRT": np.array(mixture),
        "O'Brien-Fleming spending": np.array(spending),
        "fixed test": 1.959964 * errors,
    }
    curves = {
        name: np.maximum.accumulate(np.abs(effects) >= limit, axis=1).mean(axis=0) for name, limit in limits.items()
    }
    error = math.sqrt(0.05 * 0.95 / runs)
    checks = [
        Check("A/A, 100 looks", name, float(curve[-1]), error, None if name == "fixed test" else 0.05)
        for name, curve in curves.items()
    ]
    return checks, curves


def _covers(low: float | None, high: float | None, truth: float) -> bool:
    return low is not None and high is not None and low <= truth <= high


def coverage(rng: np.random.Generator, runs: int) -> list[Check]:
    """Share of 95 % intervals that hold the truth."""
    group = "coverage of 95 % intervals"
    checks = []
    for expected in (5, 10, 30, 60, 200, 2000):
        n, rate = expected * 20, 0.05
        c, t = rng.binomial(n, rate, runs), rng.binomial(n, rate * 1.1, runs)
        arms = [(Proportion(int(x), n), Proportion(int(y), n)) for x, y in zip(c, t, strict=True) if x and y]
        absolute = [proportions.proportion_interval(*pair) for pair in arms]
        lifts = [proportions.proportion_lift(*pair) for pair in arms]
        held = [_covers(i.ci_low, i.ci_high, rate * 0.1) for i in absolute]
        checks.append(
            share_check(group, f"difference of rates, {expected} control conversions", held, 0.95, at_most=False)
        )
        held = [_covers(i.ci_low, i.ci_high, 0.1) for i in lifts]
        checks.append(share_check(group, f"lift of rates, {expected} control conversions", held, 0.95, at_most=False))
    slow = runs // 4
    mean = 0.3 * math.exp(3.5)
    revenue, lift, ratio, past, latency = [], [], [], [], []
    for _ in range(slow):
        arms = Moments.from_values(_revenue(rng, 1500)), Moments.from_values(_revenue(rng, 1500) * 1.1)
        result, relative = means.welch_test(*arms), means.mean_lift(*arms)
        revenue.append(_covers(result.ci_low, result.ci_high, 0.1 * mean))
        lift.append(_covers(relative.ci_low, relative.ci_high, 0.1))
        clicks = ratios.ratio_test(_pairs(rng, 1000), _pairs(rng, 1000))
        ratio.append(_covers(clicks.lift_ci_low, clicks.lift_ci_high, 0.0))
        adjusted = cuped.cuped_test(_past(rng, 500, 0.7), _past(rng, 500, 0.7))
        past.append(_covers(adjusted.lift_ci_low, adjusted.lift_ci_high, 0.0))
        values = rng.lognormal(5, 0.7, 300)
        interval = quantiles.quantile_interval(values, 0.9)
        latency.append(_covers(interval.ci_low, interval.ci_high, math.exp(5 + 0.7 * 1.2815515655446004)))
    for name, held in (
        ("difference of skewed means", revenue),
        ("lift of skewed means", lift),
        ("lift of a ratio", ratio),
        ("lift after CUPED", past),
        ("p90 of one arm (order statistics)", latency),
    ):
        checks.append(share_check(group, name, held, 0.95, at_most=False))
    noise = rng.normal(0, 1, (runs, 14)).cumsum(axis=1) / np.sqrt(np.arange(1, 15))
    bounds = group_sequential.boundaries([day / 14 for day in range(1, 15)]).z
    inside = (np.abs(noise) <= [math.inf if bound is None else bound for bound in bounds]).all(axis=1)
    checks.append(share_check(group, "repeated interval, all 14 looks at once", inside, 0.95, at_most=False))
    return checks


def alarms(rng: np.random.Generator, runs: int) -> list[Check]:
    """What `srm_monitor` raises, vectorised: the e-process at 200 or a day beyond its budget."""

    def alarmed(rates: list[float]) -> np.ndarray:
        treatment = rng.binomial(5000, rates, (runs, len(rates))).astype(float)
        counts = np.stack([5000 - treatment, treatment], axis=2)
        evidence = srm.log_bayes_factors(counts.cumsum(axis=1), np.array([0.5, 0.5]), srm.CONCENTRATION)
        p_days = special.chdtrc(1, ((counts - 2500) ** 2 / 2500).sum(axis=2))
        budgets = [srm.day_budget(day, 14) for day in range(len(rates))]
        return ((evidence >= math.log(srm.EVIDENCE_LIMIT)) | (p_days < budgets)).any(axis=1)

    def overall(days: int) -> np.ndarray:
        treatment = rng.binomial(5000, 0.5, (runs, days)).cumsum(axis=1)
        users = 5000 * np.arange(1, days + 1)
        return (special.chdtrc(1, (2 * treatment - users) ** 2 / users) < 0.01).any(axis=1)

    bad_day = [0.5] * 6 + [0.47] + [0.5] * 7
    return [
        share_check("SRM, 5,000 users a day", "healthy split, 60 daily looks: alarms", alarmed([0.5] * 60), 0.01),
        share_check("SRM, 5,000 users a day", "healthy split, 14 daily looks: alarms", alarmed([0.5] * 14), 0.01),
        share_check("SRM, 5,000 users a day", "49/51, found within 14 days", alarmed([0.49] * 14), 0.9, at_most=False),
        share_check("SRM, 5,000 users a day", "one day of 14 at 47/53, found", alarmed(bad_day)),
        share_check("SRM, 5,000 users a day", "for comparison: overall p < .01 read daily, 14 days", overall(14)),
    ]


def variance_reduction(rng: np.random.Generator) -> tuple[list[tuple[float, float]], bool]:
    """(correlation, share of variance CUPED took away): the square, within 0.01."""
    rows = []
    for correlation in (0.0, 0.3, 0.5, 0.7, 0.9):
        result = cuped.cuped_test(_past(rng, 50_000, correlation), _past(rng, 50_000, correlation))
        rows.append((correlation, result.variance_reduction or 0.0))
    return rows, all(abs(share - correlation**2) < 0.01 for correlation, share in rows)
