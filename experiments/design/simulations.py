"""Simulations of a design, and A/A checks of the tests on a flag's own users."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from django.utils import timezone

from experiments.analysis.methods import METHODS
from experiments.analysis.metric_types import per_user_type
from experiments.design.past_users import past_figures
from experiments.models import Metric
from experiments.statistics.distributions import Floats
from experiments.statistics.simulation import DailyDesign, Outcome, Tally, tally
from experiments.statistics.summaries import Moments
from tenancy.errors import Invalid
from tenancy.models import Environment

_FEWEST_USERS = 20
# Splits that are drawn together: about 70 MB for a million users with distinct figures.
_SPLITS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Forecast:
    """The same design with its effect and without one: `with_effect` gives power, `without` false positives."""

    with_effect: Outcome
    without: Outcome


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs of one design with its effect and without. Runs add up."""

    with_effect: Tally
    without: Tally

    def __add__(self, other: "Runs") -> "Runs":
        return Runs(self.with_effect + other.with_effect, self.without + other.without)

    @property
    def forecast(self) -> Forecast:
        return Forecast(self.with_effect.outcome, self.without.outcome)


def run(
    *,
    users_per_day: int,
    days: int,
    baseline: float,
    lift: float,
    method: str,
    sd: float | None = None,
    alpha: float = 0.05,
    treatment_share: float = 0.5,
    replications: int = 10_000,
    seed: int | Sequence[int] = 1,
) -> Runs:
    """Run a design many times; `lift` is relative to the baseline, `sd` None means a rate. Raises Invalid."""
    effect = baseline * lift

    def of(change: float) -> Tally:
        design = DailyDesign(
            users_per_day=users_per_day,
            days=days,
            baseline=baseline,
            effect=change,
            method=METHODS[method].simulated_as,
            sd=sd,
            alpha=alpha,
            treatment_share=treatment_share,
        )
        return tally(design, replications, seed)

    try:
        return Runs(of(effect), of(0.0))
    except ValueError as error:
        raise Invalid(str(error)) from error


def forecast(**design: Any) -> Forecast:
    """As `run`, summarised as rates and means."""
    return run(**design).forecast


@dataclass(frozen=True, slots=True)
class NullCheck:
    """Tests of random halves of a flag's users against each other. At most a share alpha should look different."""

    users: int
    replications: int
    false_positives: int
    alpha: float

    def __add__(self, more: "NullCheck") -> "NullCheck":
        """Add the tests of the same users with another seed."""
        alarms = self.false_positives + more.false_positives
        return NullCheck(self.users, self.replications + more.replications, alarms, self.alpha)

    @property
    def rate(self) -> float:
        return self.false_positives / self.replications

    @property
    def simulation_error(self) -> float:
        """The standard error of the rate, if the true rate is alpha."""
        return math.sqrt(self.alpha * (1 - self.alpha) / self.replications)

    @property
    def is_healthy(self) -> bool:
        """Whether the rate exceeds alpha by at most three standard errors."""
        return self.rate <= self.alpha + 3 * self.simulation_error


def check_null(
    environment: Environment,
    flag_key: str,
    metric: Metric,
    *,
    days: int = 14,
    replications: int = 1_000,
    alpha: float = 0.05,
    seed: int = 1,
    now: datetime | None = None,
) -> NullCheck:
    """Split the users of the last `days` at random, `replications` times, and test the metric each time.

    Whatever the variants did to them is the same in both halves, so every difference found is a false alarm. Raises
    what `checked_figures` raises.
    """
    figures = checked_figures(environment, flag_key, metric, days=days, now=now or timezone.now())
    return split_at_random(figures, metric, replications=replications, alpha=alpha, seed=seed)


def checked_figures(environment: Environment, flag_key: str, metric: Metric, *, days: int, now: datetime) -> Floats:
    """One figure per user. Raises Invalid for ratio and quantile metrics, and where there are too few users to test."""
    figures = past_figures(environment.pk, flag_key, metric, days=days, now=now)
    if figures is None:
        raise Invalid("Check a binary, count or continuous metric.", attr="metric", code="not_applicable")
    if figures.size < _FEWEST_USERS:
        raise Invalid(
            f"{figures.size} users saw {flag_key!r} in the last {days} days; that is too few to test.", attr="flagKey"
        )
    return figures


def split_at_random(
    figures: Floats, metric: Metric, *, replications: int, alpha: float = 0.05, seed: int | Sequence[int] = 1
) -> NullCheck:
    halves = _random_halves(figures, replications, np.random.default_rng(seed))
    kind = per_user_type(metric)
    if kind is None:
        raise ValueError(f"a {metric.type} metric has no figure per user to split by")
    p_values = [kind.p_value(control, treatment) for control, treatment in halves]
    # A half that cannot be tested claims nothing.
    alarms = sum(p_value is not None and p_value < alpha for p_value in p_values)
    return NullCheck(figures.size, replications, alarms, alpha)


def _random_halves(figures: Floats, replications: int, dice: np.random.Generator) -> Iterator[tuple[Moments, Moments]]:
    """Yield control and treatment. An independent fair coin assigns each user.

    Of users with the same figure only their number in the treatment counts, which is binomial; a bit decides for each
    of the others. So the cost does not grow with the users who did nothing.
    """
    centre = float(figures.mean())
    values, counts = np.unique(figures, return_counts=True)
    shared, alone = values[counts > 1] - centre, values[counts == 1] - centre
    repeats = counts[counts > 1]
    whole = np.array([figures.size, (figures - centre).sum(), ((figures - centre) ** 2).sum()])
    powers = [np.column_stack([np.ones_like(part), part, part * part]) for part in (shared, alone)]
    for start in range(0, replications, _SPLITS_AT_ONCE):
        splits = min(_SPLITS_AT_ONCE, replications - start)
        bits = np.frombuffer(dice.bytes(splits * (-(-alone.size // 8))), dtype=np.uint8).reshape(splits, -1)
        coins = np.unpackbits(bits, axis=1, count=alone.size)
        treated = dice.binomial(repeats, 0.5, size=(splits, repeats.size)) @ powers[0] + coins.astype(float) @ powers[1]
        for sums in treated:
            yield _moments(whole - sums, centre), _moments(sums, centre)


def _moments(sums: Floats, centre: float) -> Moments:
    found = Moments.from_sums(*(float(figure) for figure in sums))
    return Moments(found.n, found.mean + centre, found.m2)
