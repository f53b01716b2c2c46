"""Planning before the start: sample size, detectable effect, power, and duration at the current traffic."""

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.utils import timezone

from analytics import selectors as events
from experiments.analysis.methods import METHODS
from experiments.analysis.metric_types import POWER_MODELS, metric_type
from experiments.analysis.metric_types.power import Population, PowerModel
from experiments.design.past_users import past_figures
from experiments.design.payloads import DurationForecast, PowerAnswer, UsersPerArm
from experiments.documents import split_of
from experiments.models import Experiment
from experiments.statistics.summaries import Moments
from experiments.statistics.winsorising import winsorise
from flags.evaluation.audience import recent_audience
from tenancy.errors import Invalid

# The defaults that a pre-flight check plans with.
PLANNED_LIFT = 0.1
PLANNED_POWER = 0.8
PLANNED_LOOKS = 14
_RECENT = timedelta(days=7)
# Users are read one by one, and a start must not wait for millions of them.
_MOST_USERS_READ = 200_000


@dataclass(frozen=True, slots=True)
class DurationEstimate:
    """At the traffic of the last 7 days; `users_needed` and `days` are None where the baseline is not known.

    `baseline_rate` is a binary metric's; `baseline_mean` and `baseline_sd` are a count's or a sum's, per user.
    """

    users_per_day: float
    events: int
    baseline_rate: float | None
    users_needed: int | None
    days: int | None
    baseline_mean: float | None = None
    baseline_sd: float | None = None
    # Users of these days who had the primary metric's event after they saw the flag.
    converted: int = 0
    # The audience's share of the users of whom it is known; None where there is no audience, or nobody is known.
    audience_share: float | None = None

    def as_payload(self) -> DurationForecast:
        return {
            "usersPerDay": self.users_per_day,
            "recentEvents": self.events,
            "audienceShare": self.audience_share,
            "baselineRate": self.baseline_rate,
            "baselineMean": self.baseline_mean,
            "baselineStandardDeviation": self.baseline_sd,
            "assumedLift": PLANNED_LIFT,
            "assumedPower": PLANNED_POWER,
            "usersNeeded": self.users_needed,
            "days": self.days,
        }


def estimate(experiment: Experiment) -> DurationEstimate:
    """Forecast users per day, baseline, and days to see a relative change of 10 %, from the last 7 days.

    The users are those who saw the flag; with an audience, those of them whom it takes in, as far as that is known.
    """
    until = timezone.now()
    since = until - _RECENT
    place, metric = (experiment.environment_id, experiment.config.flag.key), experiment.primary_metric
    kind = metric_type(metric)
    seen, converted = events.converted_units(*place, since, until, event_name=metric.event_name, window=kind.window)
    recent_events = events.event_count(experiment.environment_id, metric.event_name, since)
    audience = None
    if experiment.audience and seen:
        audience = recent_audience(experiment.environment, place[1], experiment.audience, since)
    share = audience.share if audience else None
    users_per_day = seen * (1.0 if share is None else share) * experiment.traffic_bp / 10_000 / _RECENT.days
    among = audience.units if audience and share is not None else None
    baseline = converted / seen if converted else None
    if kind.is_rate and among is not None:
        figures = past_figures(*place, metric, days=_RECENT.days, now=until, among=among)
        baseline = float(figures.mean()) if figures is not None and figures.any() else None
    needed = experiment.planned_users
    if needed is None and kind.power is not None and kind.is_rate and baseline is not None and baseline < 1:
        needed = _users_needed(experiment, kind.power, Population(baseline))
    past = _past_users(experiment, seen, until, among) if needed is None else None
    if past is not None and kind.power is not None and past.mean and past.variance:
        needed = _users_needed(experiment, kind.power, Population(past.mean, past.variance**0.5))
    days = days_for(needed, users_per_day)
    mean, deviation = (past.mean, (past.variance or 0.0) ** 0.5) if past is not None else (None, None)
    return DurationEstimate(
        users_per_day, recent_events, baseline, needed, days, mean, deviation, converted=converted, audience_share=share
    )


def days_for(users: int | None, users_per_day: float) -> int | None:
    """Whole days, to the nearest: the traffic is no more certain than that."""
    return max(1, round(users / users_per_day)) if users and users_per_day else None


def _past_users(experiment: Experiment, seen: int, now: datetime, among: AbstractSet[str] | None) -> Moments | None:
    """Moments of the past users' figures; None for a metric without such figures, and for too many users."""
    metric = experiment.primary_metric
    if metric_type(metric).is_rate or not 1 < seen <= _MOST_USERS_READ:
        return None
    flag_key = experiment.config.flag.key
    figures = past_figures(experiment.environment_id, flag_key, metric, days=_RECENT.days, now=now, among=among)
    if figures is None or not figures.size:
        return None
    if experiment.winsorize_percent is not None:
        cap = winsorise([figures], upper_q=1 - experiment.winsorize_percent / 100).cap_high
        figures = figures if cap is None else np.minimum(figures, cap)
    return Moments.from_values(figures)


def _users_needed(experiment: Experiment, model: PowerModel, population: Population) -> int | None:
    control, ratio = _shares(experiment)
    alpha = _own_alpha(experiment)
    size = model.sample_size(population, planned_lift(experiment), alpha=alpha, power=PLANNED_POWER, ratio=ratio)
    if size.n_control is None:
        return None
    inflation = METHODS[experiment.method].inflation(PLANNED_LOOKS, alpha, PLANNED_POWER)
    # Whole users an arm, as the calculator answers.
    return math.ceil(math.ceil(size.n_control * inflation) * 10_000 / control)


def _shares(experiment: Experiment) -> tuple[int, float]:
    """The control's basis points, and the ratio of the smallest other variant's basis points to them."""
    split = split_of(experiment)
    control = split[experiment.control_variant]
    smallest = min(weight for key, weight in split.items() if weight and key != experiment.control_variant)
    return control, smallest / control


def planned_lift(experiment: Experiment) -> float:
    """The relative change to plan for: the smallest that matters, where the experiment names it."""
    return experiment.minimum_effect or PLANNED_LIFT


def alpha_of_each(alpha: float, correction: str, treatments: int) -> float:
    """The error rate of one of several treatments that the correction leaves it in the worst case."""
    return alpha if correction == Experiment.Correction.NONE else alpha / max(1, treatments)


def _own_alpha(experiment: Experiment) -> float:
    split = split_of(experiment)
    treatments = sum(1 for key, weight in split.items() if weight and key != experiment.control_variant)
    return alpha_of_each(experiment.alpha, experiment.correction, treatments)


@dataclass(frozen=True, slots=True)
class _PowerInputs:
    """The form's fields, checked: exactly two of users, effect and power are given."""

    model: PowerModel
    population: Population
    effect: float | None
    users: float | None
    power: float | None
    alpha: float
    share: float
    inflation: float

    @property
    def ratio(self) -> float:
        return self.share / (1 - self.share)

    def arms(self, users: float) -> tuple[float, float]:
        """Users of control and treatment, reduced to those of a design with a single look."""
        effective = users / self.inflation
        return effective * (1 - self.share), effective * self.share


def solve(form: Mapping[str, Any]) -> PowerAnswer:
    """Answer `POST experiments/power`: the missing one of users (all arms), relative effect and power."""
    inputs = _read(form)
    if inputs.users is None:
        return _solve_users(inputs)
    if inputs.effect is None:
        return _solve_effect(inputs)
    return _solve_power(inputs)


def _read(form: Mapping[str, Any]) -> _PowerInputs:
    given = [form.get(name) is not None for name in ("users", "minimumDetectableEffect", "power")]
    if sum(given) != 2:
        raise Invalid(
            "Give two of users, minimumDetectableEffect and power; the third is answered.",
            attr="users",
            code="two_of_three",
        )
    model = POWER_MODELS[form["type"]]
    population = Population(form["baseline"], form.get("standardDeviation") or 0.0)
    share, alpha, target = form["treatmentShare"], form["alpha"], form.get("power")
    model.check(population)
    _require(0 < share < 1, "treatmentShare", "Give a share between 0 and 1, such as 0.5.")
    _require(0 < alpha < 1, "alpha", "Give an error rate between 0 and 1, such as 0.05.")
    _require(target is None or alpha < target < 1, "power", "Give a power above alpha and below 1, such as 0.8.")
    _require(form.get("minimumDetectableEffect") != 0, "minimumDetectableEffect", "No effect needs no experiment.")
    return _PowerInputs(
        model=model,
        population=population,
        effect=form.get("minimumDetectableEffect"),
        users=form.get("users"),
        power=target,
        alpha=alpha,
        share=share,
        inflation=METHODS[form["method"]].inflation(form["looks"], alpha, target or PLANNED_POWER),
    )


def _require(holds: bool, attr: str, remedy: str) -> None:
    if not holds:
        raise Invalid(remedy, attr=attr, code="out_of_range")


def _solve_users(inputs: _PowerInputs) -> PowerAnswer:
    effect, target = inputs.effect or 0.0, inputs.power or 0.0
    inputs.model.check_effect(inputs.population, effect)
    size = inputs.model.sample_size(inputs.population, effect, alpha=inputs.alpha, power=target, ratio=inputs.ratio)
    if size.n_control is None or size.n_treatment is None:
        return _answer(inputs, None, effect, target, size.reason)
    per_arm: UsersPerArm = {
        "control": math.ceil(size.n_control * inputs.inflation),
        "treatment": math.ceil(size.n_treatment * inputs.inflation),
    }
    users = per_arm["control"] + per_arm["treatment"]
    return {**_answer(inputs, users, effect, target, None), "usersPerArm": per_arm}


def _solve_effect(inputs: _PowerInputs) -> PowerAnswer:
    users, target = inputs.users or 0.0, inputs.power or 0.0
    arms = inputs.arms(users)
    found = inputs.model.detectable_effect(inputs.population, arms, alpha=inputs.alpha, power=target)
    return _answer(inputs, users, found.mde_rel, target, found.reason)


def _solve_power(inputs: _PowerInputs) -> PowerAnswer:
    users, effect = inputs.users or 0.0, inputs.effect or 0.0
    inputs.model.check_effect(inputs.population, effect)
    found = inputs.model.power(inputs.population, effect, inputs.arms(users), alpha=inputs.alpha)
    return _answer(inputs, users, effect, found.power, found.reason)


def _answer(
    inputs: _PowerInputs, users: float | None, effect: float | None, target: float | None, reason: str | None
) -> PowerAnswer:
    per_arm: UsersPerArm | None = None
    if users is not None:
        treatment = math.ceil(users * inputs.share)
        per_arm = {"control": math.ceil(users) - treatment, "treatment": treatment}
    return {
        "users": None if users is None else math.ceil(users),
        "usersPerArm": per_arm,
        "minimumDetectableEffect": effect,
        "absoluteEffect": None if effect is None else effect * inputs.population.baseline,
        "power": target,
        "inflation": inputs.inflation,
        "reason": reason,
    }
