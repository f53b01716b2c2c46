"""The plan beside the designer's form: sample size and duration, computed while somebody types."""

import math
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from analytics.selectors import answer_within
from experiments import selectors
from experiments.admin.designer.design_document import ShownDesign, audience_of, design_of
from experiments.admin.typed_numbers import typed_number, typed_share
from experiments.analysis.metric_types import METRIC_TYPES
from experiments.analysis.metric_types.binary import Binary
from experiments.design import planning
from experiments.design.splits import own_split
from experiments.documents import split_of
from experiments.models import Experiment, Metric
from flags.models import FlagConfig
from flags.selectors import get_config
from tenancy.console_kit.documents import DocumentEdit
from tenancy.errors import NotFound, ServiceError
from tenancy.models import Environment

_ESTIMATE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class _Split:
    """Shares of all enrolled users: that of the control and that of the smallest treatment."""

    control: float = 0.5
    smallest: float = 0.5
    treatments: int = 1

    @property
    def treatment_share(self) -> float:
        """The treatment's share of the two together."""
        return self.smallest / (self.control + self.smallest)


def fragment(request: HttpRequest, environment: Environment) -> HttpResponse:
    design = design_of(DocumentEdit.sent(request).document)
    typed = {name: request.POST.get(f"plan-{name}", "").strip() for name in ("baseline", "sd", "effect", "power")}
    shown: dict[str, Any] = {}
    try:
        shown |= _planned(environment, design, typed)
    except ServiceError as error:
        shown["problems"] = [problem.detail for problem in error.problems]
    return render(request, "experiments/plan.html", shown)


def _planned(environment: Environment, design: ShownDesign, typed: dict[str, str]) -> dict[str, Any]:
    config, metric = _chosen(environment, design)
    recent = _recent(environment, design, config, metric)
    kind = METRIC_TYPES[metric.type] if metric else Binary
    shown: dict[str, Any] = {"recent": recent, "kind": kind.key, "is_binary": kind.is_rate}
    shown["unreadable"] = _unreadable(typed, is_rate=kind.is_rate)
    if kind.power is None:
        return {**shown, "is_unplannable": True}
    inputs: dict[str, Any] = {"type": kind.power.key}
    if kind.is_rate:
        shown["baseline"] = typed_share(typed["baseline"]) or (recent.baseline_rate if recent else None)
    else:
        shown["baseline"] = typed_number(typed["baseline"])
        inputs["standardDeviation"] = typed_number(typed["sd"])
        if inputs["standardDeviation"] is None:
            return shown
    analysis = design["analysis"]
    effect, power = typed_share(typed["effect"]), typed_share(typed["power"])
    if shown["unreadable"] or shown["baseline"] is None or effect is None or power is None:
        return shown
    split = _split(design, config)
    answer = planning.solve(
        {
            **inputs,
            "baseline": shown["baseline"],
            "treatmentShare": split.treatment_share,
            "alpha": planning.alpha_of_each(
                typed_number(analysis["alpha"]) or 0.05, analysis["correction"], split.treatments
            ),
            "power": power,
            "minimumDetectableEffect": effect,
            "method": analysis["method"] or Experiment.Method.ALWAYS_VALID,
            "looks": planning.PLANNED_LOOKS,
        }
    )
    # Further treatments need users as well.
    users = math.ceil(answer["usersPerArm"]["control"] / split.control) if answer["usersPerArm"] else None
    per_day = recent.users_per_day if recent else 0
    days = planning.days_for(users, per_day)
    return {**shown, "answer": answer, "users": users, "days": days, "effect": effect, "power": power}


def _unreadable(typed: dict[str, str], *, is_rate: bool) -> dict[str, str]:
    """Return what is wrong with each input, by its name. One that is empty is taken from last week, or not needed."""
    share = "Give a percentage above 0 and below 100."
    wrong = {name: share for name in ("effect", "power") if typed_share(typed[name]) is None}
    if typed["baseline"] and is_rate and typed_share(typed["baseline"]) is None:
        wrong["baseline"] = share
    if typed["baseline"] and not is_rate and typed_number(typed["baseline"]) is None:
        wrong["baseline"] = "Give a number, like 12.5."
    deviation = typed_number(typed["sd"])
    if typed["sd"] and (deviation is None or deviation <= 0):
        wrong["sd"] = "Give a number above 0."
    return wrong


def _chosen(environment: Environment, design: ShownDesign) -> tuple[FlagConfig | None, Metric | None]:
    """The flag and the metric, each None until it is chosen and exists."""
    config, metric = None, None
    try:
        config = get_config(environment, design["flagKey"])
        metric = selectors.get_metric(environment.project, design["primaryMetric"])
    except NotFound:
        pass  # sending the form refuses it
    return config, metric


def _split(design: ShownDesign, config: FlagConfig | None) -> _Split:
    """The split as it is typed; an even one of two until it can be read."""
    if config is None:
        return _Split()
    names = [variant["key"] for variant in config.flag.variants]
    control = design["controlVariant"] if design["controlVariant"] in names else names[0]
    unsaved = Experiment(config=config, control_variant=control)
    shares = [{**share, "percent": typed_number(share["percent"])} for share in design["allocation"]]
    unsaved.allocation, problems = own_split(unsaved, shares or None)
    if problems:
        return _Split()
    weights = split_of(unsaved)
    treatments = [weight for key, weight in weights.items() if weight and key != control]
    if not treatments or not weights[control]:
        return _Split()
    return _Split(weights[control] / 10_000, min(treatments) / 10_000, len(treatments))


def _recent(
    environment: Environment, design: ShownDesign, config: FlagConfig | None, metric: Metric | None
) -> planning.DurationEstimate | None:
    """Last week's traffic and rate, once a flag and a metric are chosen."""
    if config is None or metric is None:
        return None
    traffic = typed_number(design["trafficPercent"]) or 100
    unsaved = Experiment(
        environment=environment,
        config=config,
        primary_metric=metric,
        control_variant=config.flag.variants[0]["key"],
        traffic_bp=max(1, min(10_000, round(traffic * 100))),
        audience=audience_of(design),
        planned_users=1,
    )
    with answer_within(_ESTIMATE_SECONDS, what="The estimate"):
        return planning.estimate(unsaved)
