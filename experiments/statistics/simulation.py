"""Simulations of a design over thousands of replications: power, false positives, and the day it stops.

They are vectorised over replications, and seeded.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.statistics.always_valid import tuning_rho
from experiments.statistics.distributions import Floats, normal_critical, require_alpha
from experiments.statistics.group_sequential import boundaries
from experiments.statistics.spending import SPENDING

METHODS = ("fixed", "peeking", *SPENDING, "always_valid", "bayes")


@dataclass(frozen=True, slots=True)
class DailyDesign:
    """A daily-read experiment. `sd` None means a conversion rate, else a mean with that standard deviation a user.

    effect: treatment minus control in the metric's unit; 0 is an A/A test. method: fixed (one look at the end), peeking
    (the fixed test read every day), a name in `SPENDING` (alpha spending), always_valid (confidence sequence tuned to
    the planned users), bayes (1 - alpha to beat control, or to lose to it, under a flat prior, read every day).
    """

    users_per_day: int
    days: int
    baseline: float
    effect: float
    method: str = "obf"
    sd: float | None = None
    alpha: float = 0.05
    treatment_share: float = 0.5


@dataclass(frozen=True, slots=True)
class Outcome:
    """Shares of replications; a run that never claims stops on the last day.

    stop_days: share stopping on each day, from day 1. mean_claimed_effect: mean estimate of the runs that claimed,
    which exceeds the true effect where runs stop early. simulation_error: standard error of `claim_rate`.
    """

    claim_rate: float
    right_direction_rate: float
    mean_stop_day: float
    stop_days: tuple[float, ...]
    mean_claimed_effect: float | None
    simulation_error: float


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over replications. Tallies of the same design with other seeds add up.

    stops: how many stopped on each day, from day 1. claimed: the sum of the estimates of those that claimed.
    """

    replications: int
    claims: int
    right: int
    stops: tuple[int, ...]
    claimed: float

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.replications + other.replications,
            self.claims + other.claims,
            self.right + other.right,
            tuple(mine + others for mine, others in zip(self.stops, other.stops, strict=True)),
            self.claimed + other.claimed,
        )

    @property
    def outcome(self) -> Outcome:
        rate = self.claims / self.replications
        return Outcome(
            claim_rate=rate,
            right_direction_rate=self.right / self.replications,
            mean_stop_day=sum(day * runs for day, runs in enumerate(self.stops, start=1)) / self.replications,
            stop_days=tuple(runs / self.replications for runs in self.stops),
            mean_claimed_effect=self.claimed / self.claims if self.claims else None,
            simulation_error=math.sqrt(rate * (1 - rate) / self.replications),
        )


def simulate(design: DailyDesign, replications: int = 10_000, seed: int = 1) -> Outcome:
    """`tally` as shares and means of the runs: the whole design, `replications` times."""
    return tally(design, replications, seed).outcome


def tally(design: DailyDesign, replications: int, seed: int | Sequence[int]) -> Tally:
    """Run the design `replications` times. Memory grows as replications times days."""
    _check(design, replications)
    effects, errors = _paths(design, replications, np.random.default_rng(seed))
    crossed = np.abs(effects) >= _limits(design, errors)
    claimed = crossed.any(axis=1)
    stops = np.where(claimed, crossed.argmax(axis=1), design.days - 1)
    estimates = effects[np.arange(replications), stops]
    right = claimed & (np.sign(estimates) == np.sign(design.effect))
    return Tally(
        replications,
        claims=int(claimed.sum()),
        right=int(right.sum()),
        stops=tuple(np.bincount(stops, minlength=design.days).tolist()),
        claimed=float(estimates[claimed].sum()),
    )


def _check(design: DailyDesign, replications: int) -> None:
    require_alpha(design.alpha)
    if design.method not in METHODS:
        raise ValueError(f"unknown method {design.method!r}: {', '.join(METHODS)}")
    if design.days < 1 or replications < 1 or min(_daily_users(design)) < 1:
        raise ValueError("a simulation needs a replication, a day, and a user a day in each arm")
    if design.sd is None and not (0 < design.baseline < 1 and 0 < design.baseline + design.effect < 1):
        raise ValueError("both conversion rates must lie strictly between 0 and 1")
    if design.sd is not None and design.sd <= 0:
        raise ValueError(f"the standard deviation must be above 0, got {design.sd}")


def _daily_users(design: DailyDesign) -> tuple[int, int]:
    treatment = round(design.users_per_day * design.treatment_share)
    return design.users_per_day - treatment, treatment


def _paths(design: DailyDesign, replications: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Running differences and their standard errors, each of shape (replications, days)."""
    days = np.arange(1, design.days + 1)
    daily_c, daily_t = _daily_users(design)
    users_c, users_t = daily_c * days, daily_t * days
    shape = (replications, design.days)
    if design.sd is not None:
        noise_c = rng.normal(0, design.sd / math.sqrt(daily_c), shape).cumsum(axis=1) / days
        noise_t = rng.normal(0, design.sd / math.sqrt(daily_t), shape).cumsum(axis=1) / days
        errors = np.broadcast_to(design.sd * np.sqrt(1 / users_c + 1 / users_t), shape)
        return design.effect + noise_t - noise_c, errors
    converted_c = rng.binomial(daily_c, design.baseline, shape).cumsum(axis=1)
    converted_t = rng.binomial(daily_t, design.baseline + design.effect, shape).cumsum(axis=1)
    pooled = (converted_c + converted_t) / (users_c + users_t)
    return converted_t / users_t - converted_c / users_c, np.sqrt(pooled * (1 - pooled) * (1 / users_c + 1 / users_t))


def _limits(design: DailyDesign, errors: Floats) -> Floats:
    """The size of effect that each look needs to claim; infinite where it may not claim."""
    critical = normal_critical(design.alpha)
    if design.method == "fixed":
        factors = np.full(design.days, math.inf)
        factors[-1] = critical
    elif design.method == "peeking":
        factors = np.full(design.days, critical)
    elif design.method == "bayes":
        factors = np.full(design.days, normal_critical(design.alpha, sides=1))
    elif design.method == "always_valid":
        users = design.users_per_day * np.arange(1, design.days + 1)
        information = users * tuning_rho(users[-1], design.alpha) ** 2
        factors = np.sqrt(2 * (information + 1) / information * np.log(np.sqrt(information + 1) / design.alpha))
    else:
        looks = [day / design.days for day in range(1, design.days + 1)]
        bounds = boundaries(looks, design.alpha, spending=design.method).z
        factors = np.array([math.inf if bound is None else bound for bound in bounds])
    limits: Floats = factors * np.where(errors > 0, errors, math.inf)
    return limits
