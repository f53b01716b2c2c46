"""Beside the designer's form: sample size and duration, computed as one types, for the split and metric at hand."""

import math
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from experiments import selectors
from experiments.admin.design_form import Design, plain_number
from experiments.analysis.metric_types import METRIC_TYPES
from experiments.analysis.metric_types.binary import Binary
from experiments.design import planning
from experiments.documents import split_of
from experiments.models import Experiment, Metric
from flags.models import FlagConfig
from flags.selectors import get_config
from tenancy.errors import NotFound, ServiceError
from tenancy.models import Environment


@dataclass(frozen=True, slots=True)
class _Split:
    """Shares of all enrolled users: the control's, and that of the treatment with the fewest; how many treatments."""

    control: float = 0.5
    smallest: float = 0.5
    treatments: int = 1

    @property
    def treatment_share(self) -> float:
        """Of the two alone."""
        return self.smallest / (self.control + self.smallest)


def fragment(request: HttpRequest, environment: Environment) -> HttpResponse:
    design = Design.sent(request.POST)
    shown: dict[str, Any] = {"plan": design.plan}
    try:
        shown |= _planned(environment, design)
    except ServiceError as error:
        shown["problems"] = [problem.detail for problem in error.problems]
    return render(request, "experiments/plan.html", shown)


def _planned(environment: Environment, design: Design) -> dict[str, Any]:
    texts = design.texts
    config, metric = _chosen(environment, design)
    found = _recent(environment, design, config, metric)
    kind = METRIC_TYPES[metric.type] if metric else Binary
    shown: dict[str, Any] = {"recent": found, "kind": kind.key, "is_binary": kind.is_rate}
    if kind.power is None:
        return {**shown, "is_unplannable": True}
    inputs: dict[str, Any] = {"type": kind.power.key}
    if kind.is_rate:
        shown["baseline"] = _share(design.plan["baseline"]) or (found.baseline_rate if found else None)
    else:
        shown["baseline"] = plain_number(design.plan["baseline"])
        inputs["standardDeviation"] = plain_number(design.plan["sd"])
        if inputs["standardDeviation"] is None:
            return shown
    effect, power = _share(design.plan["effect"]), _share(design.plan["power"])
    if shown["baseline"] is None or effect is None or power is None:
        return shown
    split = _split(design, config)
    answer = planning.solve(
        {
            **inputs,
            "baseline": shown["baseline"],
            "treatmentShare": split.treatment_share,
            "alpha": planning.alpha_of_each(
                plain_number(texts["alpha"]) or 0.05, texts["correction"], split.treatments
            ),
            "power": power,
            "minimumDetectableEffect": effect,
            "method": texts["method"] or Experiment.Method.ALWAYS_VALID,
            "looks": planning.PLANNED_LOOKS,
        }
    )
    # Further treatments take their share of the traffic as well.
    users = math.ceil(answer["usersPerArm"]["control"] / split.control) if answer["usersPerArm"] else None
    per_day = found.users_per_day if found else 0
    days = math.ceil(users / per_day) if users and per_day else None
    return {**shown, "answer": answer, "users": users, "days": days, "effect": effect, "power": power}


def _chosen(environment: Environment, design: Design) -> tuple[FlagConfig | None, Metric | None]:
    """The flag and the metric, as far as they are chosen and there."""
    config, metric = None, None
    try:
        config = get_config(environment, design.texts["flagKey"])
        metric = selectors.get_metric(environment.project, design.texts["primaryMetric"])
    except NotFound:
        pass  # the form says so where it is sent
    return config, metric


def _split(design: Design, config: FlagConfig | None) -> _Split:
    if config is None:
        return _Split()
    names = [variant["key"] for variant in config.flag.variants]
    control = design.texts["controlVariant"] if design.texts["controlVariant"] in names else names[0]
    if design.texts["split"] == "even":
        return _Split(1 / len(names), 1 / len(names), len(names) - 1)
    weights = split_of(config, control)
    treatments = [weight for key, weight in weights.items() if weight and key != control]
    if not treatments or not weights[control]:
        return _Split()
    return _Split(weights[control] / 10_000, min(treatments) / 10_000, len(treatments))


def _recent(
    environment: Environment, design: Design, config: FlagConfig | None, metric: Metric | None
) -> planning.DurationEstimate | None:
    """Last week's traffic and rate, once a flag and a metric are chosen."""
    if config is None or metric is None:
        return None
    traffic = plain_number(design.texts["trafficPercent"]) or 100
    unsaved = Experiment(
        environment=environment,
        config=config,
        primary_metric=metric,
        control_variant=config.flag.variants[0]["key"],
        traffic_bp=max(1, min(10_000, round(traffic * 100))),
        planned_users=1,
    )
    return planning.estimate(unsaved)


def _share(text: str) -> float | None:
    """A percentage as it is typed, as a share; None for what is none."""
    value = plain_number(text)
    return value / 100 if value is not None and 0 < value < 100 else None
