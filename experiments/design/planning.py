"""Before the start: how many users, how small an effect, how likely to see it, and how long at the current traffic."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.utils import timezone

from analytics import selectors as events
from experiments.design.past_users import figures_of
from experiments.documents import split_of
from experiments.models import Experiment, Metric
from experiments.payloads import DurationForecast, PowerAnswer, UsersPerArm
from experiments.statistics import group_sequential, power
from experiments.statistics.summaries import Moments
from experiments.statistics.winsorising import winsorise
from tenancy.errors import Invalid

# What a pre-flight plans with where nobody said which change would matter.
PLANNED_LIFT = 0.1
PLANNED_POWER = 0.8
PLANNED_LOOKS = 14
_RECENT = timedelta(days=7)
_SPENDING = {Experiment.Method.POCOCK: "pocock_spending", Experiment.Method.OBRIEN_FLEMING: "obf_spending"}
_BINARY = Metric.Type.BINARY
_OF_MEANS = (Metric.Type.COUNT, Metric.Type.CONTINUOUS)
# Users are read one by one; a start must not wait for millions of them.
_MOST_USERS_READ = 200_000


@dataclass(frozen=True, slots=True)
class Estimate:
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

    def as_payload(self) -> DurationForecast:
        return {
            "usersPerDay": self.users_per_day,
            "recentEvents": self.events,
            "baselineRate": self.baseline_rate,
            "baselineMean": self.baseline_mean,
            "baselineStandardDeviation": self.baseline_sd,
            "assumedLift": PLANNED_LIFT,
            "assumedPower": PLANNED_POWER,
            "usersNeeded": self.users_needed,
            "days": self.days,
        }


def estimate(experiment: Experiment) -> Estimate:
    """Users a day, baseline and days to see a relative change of a tenth, from the last 7 days of events."""
    until = timezone.now()
    since = until - _RECENT
    traffic = events.flag_exposures(experiment.environment_id, experiment.config.flag.key, since, until)
    seen = sum(row.users for row in traffic.values())
    users_per_day = seen * experiment.traffic_bp / 10_000 / _RECENT.days
    recent_events, converted = events.event_counts(
        experiment.environment_id, experiment.primary_metric.event_name, since
    )
    baseline = min(1.0, converted / seen) if seen and converted else None
    needed = experiment.planned_users
    if needed is None and baseline is not None and baseline < 1 and experiment.primary_metric.type == _BINARY:
        needed = _users_needed(experiment, baseline)
    users = _own_users(experiment, seen, until) if needed is None else None
    if users is not None:
        needed = _users_needed_for_mean(experiment, users)
    days = math.ceil(needed / users_per_day) if needed and users_per_day else None
    mean, deviation = (users.mean, (users.variance or 0.0) ** 0.5) if users is not None else (None, None)
    return Estimate(users_per_day, recent_events, baseline, needed, days, mean, deviation)


def _own_users(experiment: Experiment, seen: int, now: datetime) -> Moments | None:
    """The users of the last days as a metric of means sees them; None for others, and where they are too many."""
    metric = experiment.primary_metric
    if metric.type not in _OF_MEANS or not 1 < seen <= _MOST_USERS_READ:
        return None
    figures = figures_of(experiment.environment_id, experiment.config.flag.key, metric, days=_RECENT.days, now=now)
    if experiment.winsorize_percent is not None:
        cap = winsorise([figures], upper_q=1 - experiment.winsorize_percent / 100).cap_high
        figures = figures if cap is None else np.minimum(figures, cap)
    return Moments.from_values(figures)


def _users_needed(experiment: Experiment, baseline: float) -> int | None:
    control, ratio = _shares(experiment)
    target = min(1.0, baseline * (1 + PLANNED_LIFT))
    size = power.sample_size_proportions(baseline, target, _own_alpha(experiment), PLANNED_POWER, ratio=ratio)
    return _of_everybody(experiment, size, control)


def _users_needed_for_mean(experiment: Experiment, users: Moments) -> int | None:
    control, ratio = _shares(experiment)
    if not users.mean or not users.variance:
        return None
    change = abs(users.mean) * PLANNED_LIFT
    size = power.sample_size_means(users.variance**0.5, change, _own_alpha(experiment), PLANNED_POWER, ratio=ratio)
    return _of_everybody(experiment, size, control)


def _shares(experiment: Experiment) -> tuple[int, float]:
    """The control's basis points, and how many users the smallest other variant has for each of the control's."""
    split = split_of(experiment.config, experiment.control_variant)
    control = split[experiment.control_variant]
    smallest = min(weight for key, weight in split.items() if weight and key != experiment.control_variant)
    return control, smallest / control


def alpha_of_each(alpha: float, correction: str, treatments: int) -> float:
    """The error rate that one of several treatments has to itself, as the correction leaves it in the worst case."""
    return alpha if correction == Experiment.Correction.NONE else alpha / max(1, treatments)


def _own_alpha(experiment: Experiment) -> float:
    split = split_of(experiment.config, experiment.control_variant)
    treatments = sum(1 for key, weight in split.items() if weight and key != experiment.control_variant)
    return alpha_of_each(experiment.alpha, experiment.correction, treatments)


def _of_everybody(experiment: Experiment, size: power.SampleSize, control: int) -> int | None:
    if size.n_control is None:
        return None
    inflation = _inflation(experiment.method, _own_alpha(experiment), PLANNED_LOOKS)
    return math.ceil(size.n_control * 10_000 / control * inflation)


def _inflation(method: str, alpha: float, looks: int, target: float = PLANNED_POWER) -> float:
    """How many more users a design with several looks plans for than one with a single look at the end."""
    kind = _SPENDING.get(Experiment.Method(method))
    return group_sequential.inflation_factor(looks, alpha, target, kind) if kind else 1.0


@dataclass(frozen=True, slots=True)
class _Question:
    """The form's fields, checked: exactly two of users, effect and power are given."""

    is_binary: bool
    baseline: float
    sd: float
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
        """Users of control and treatment that count as if one looked only once."""
        effective = users / self.inflation
        return effective * (1 - self.share), effective * self.share


def solve(form: Mapping[str, Any]) -> PowerAnswer:
    """Answer `POST experiments/power`: of users (all arms), relative effect and power, the one that was left out."""
    question = _read(form)
    if question.users is None:
        return _solve_users(question)
    if question.effect is None:
        return _solve_effect(question)
    return _solve_power(question)


def _read(form: Mapping[str, Any]) -> _Question:
    given = [form.get(name) is not None for name in ("users", "minimumDetectableEffect", "power")]
    if sum(given) != 2:
        raise Invalid(
            "Give two of users, minimumDetectableEffect and power; the third is answered.",
            attr="users",
            code="two_of_three",
        )
    is_binary = form["type"] == _BINARY
    baseline, share, alpha, target = form["baseline"], form["treatmentShare"], form["alpha"], form.get("power")
    _require(not is_binary or 0 < baseline < 1, "baseline", "A rate lies between 0 and 1, such as 0.1.")
    _require(is_binary or baseline != 0, "baseline", "A change relative to 0 does not exist; give another baseline.")
    _require(
        is_binary or (form.get("standardDeviation") or 0) > 0,
        "standardDeviation",
        "Give the users' deviation, above 0.",
    )
    _require(0 < share < 1, "treatmentShare", "Give a share between 0 and 1, such as 0.5.")
    _require(0 < alpha < 1, "alpha", "Give an error rate between 0 and 1, such as 0.05.")
    _require(target is None or alpha < target < 1, "power", "Give a power above alpha and below 1, such as 0.8.")
    _require(form.get("minimumDetectableEffect") != 0, "minimumDetectableEffect", "No effect needs no experiment.")
    return _Question(
        is_binary=is_binary,
        baseline=baseline,
        sd=form.get("standardDeviation") or 0.0,
        effect=form.get("minimumDetectableEffect"),
        users=form.get("users"),
        power=target,
        alpha=alpha,
        share=share,
        inflation=_inflation(form["method"], alpha, form["looks"], target or PLANNED_POWER),
    )


def _require(holds: bool, attr: str, remedy: str) -> None:
    if not holds:
        raise Invalid(remedy, attr=attr, code="out_of_range")


def _target_rate(question: _Question, effect: float) -> float:
    target = question.baseline * (1 + effect)
    _require(0 <= target <= 1, "minimumDetectableEffect", "The changed rate would leave 0 to 1; give a smaller effect.")
    return target


def _solve_users(question: _Question) -> PowerAnswer:
    effect, target = question.effect or 0.0, question.power or 0.0
    if question.is_binary:
        rate = _target_rate(question, effect)
        size = power.sample_size_proportions(question.baseline, rate, question.alpha, target, question.ratio)
    else:
        change = abs(effect * question.baseline)
        size = power.sample_size_means(question.sd, change, question.alpha, target, question.ratio)
    if size.n_control is None or size.n_treatment is None:
        return _answer(question, None, effect, target, size.reason)
    per_arm: UsersPerArm = {
        "control": math.ceil(size.n_control * question.inflation),
        "treatment": math.ceil(size.n_treatment * question.inflation),
    }
    return {
        **_answer(question, per_arm["control"] + per_arm["treatment"], effect, target, None),
        "usersPerArm": per_arm,
    }


def _solve_effect(question: _Question) -> PowerAnswer:
    users, target = question.users or 0.0, question.power or 0.0
    arms = question.arms(users)
    if question.is_binary:
        found = power.detectable_proportion(question.baseline, *arms, question.alpha, target)
    else:
        found = power.detectable_mean(question.sd, *arms, question.alpha, target, baseline=question.baseline)
    return _answer(question, users, found.mde_rel, target, found.reason)


def _solve_power(question: _Question) -> PowerAnswer:
    users, effect = question.users or 0.0, question.effect or 0.0
    arms = question.arms(users)
    if question.is_binary:
        rate = _target_rate(question, effect)
        found = power.power_proportions(question.baseline, rate, *arms, question.alpha)
    else:
        found = power.power_means(question.sd, abs(effect * question.baseline), *arms, question.alpha)
    return _answer(question, users, effect, found.power, found.reason)


def _answer(
    question: _Question, users: float | None, effect: float | None, target: float | None, reason: str | None
) -> PowerAnswer:
    per_arm: UsersPerArm | None = None
    if users is not None:
        treatment = math.ceil(users * question.share)
        per_arm = {"control": math.ceil(users) - treatment, "treatment": treatment}
    return {
        "users": None if users is None else math.ceil(users),
        "usersPerArm": per_arm,
        "minimumDetectableEffect": effect,
        "absoluteEffect": None if effect is None else effect * question.baseline,
        "power": target,
        "inflation": question.inflation,
        "reason": reason,
    }
