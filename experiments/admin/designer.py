"""The designer: a draft put together on one page, with sample size and duration computed as one types."""

import json
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from experiments import planning, selectors, services
from experiments.admin.design_form import GUARDRAIL_ROWS, Design, plain_number
from experiments.models import Experiment, ExperimentMetric
from flags import services as flag_services
from flags.admin import conditions
from flags.admin.form import ConditionRow
from flags.models import Layer
from flags.selectors import get_config, search_configs, search_segments
from tenancy.admin import visit
from tenancy.errors import NotFound, ServiceError
from tenancy.models import Environment

if TYPE_CHECKING:
    from experiments.admin.experiments import ExperimentAdmin


def create(model_admin: "ExperimentAdmin", request: HttpRequest) -> HttpResponse:
    environment = visit(request).environment
    if environment is None:
        raise Http404("There is no environment to experiment in.")
    design = Design.empty()
    design.texts["flagKey"] = request.GET.get("flag", "")
    status = 200
    if request.method == "POST":
        design, status = Design.sent(request.POST), 422
        experiment = _create(request, environment, design)
        if experiment is not None:
            messages.success(request, f"{experiment.name} is a draft. Look it over, and start it.")
            return redirect("admin:experiments_experiment_change", experiment.pk)
    return render_design(
        model_admin, request, environment, design, status=status, title=f"New experiment in {environment}"
    )


def _create(request: HttpRequest, environment: Environment, design: Design) -> Experiment | None:
    payload, problems = design.payload()
    if not problems:
        actor = visit(request).actor
        try:
            with transaction.atomic():
                if design.texts["newEvent"]:
                    payload["primaryMetric"] = _new_metric(request, environment, design.texts["newEvent"])
                if design.texts["split"] == "even":
                    _split_evenly(request, environment, payload["flagKey"])
                return services.create_experiment(actor=actor, environment=environment, payload=payload)
        except ServiceError as error:
            problems = error.problems
    design.place(problems)
    return None


def _new_metric(request: HttpRequest, environment: Environment, event: str) -> str:
    """Users with at least one such event, named after it; the one that is there where there is one."""
    key = re.sub(r"[^A-Za-z0-9._-]+", "-", event).strip("-._")[:100] or "metric"
    metric, _ = services.create_metric(
        actor=visit(request).actor,
        environment=environment,
        payload={"key": key, "name": event, "type": "binary", "eventName": event},
    )
    return str(metric.key)


def _split_evenly(request: HttpRequest, environment: Environment, key: str) -> None:
    """Give each variant the same share, to the hundredth of a percent; the first take what does not divide."""
    config = get_config(environment, key)
    names = [variant["key"] for variant in config.flag.variants]
    share, extra = divmod(10_000, len(names))
    rollout = [{"variant": name, "percent": (share + (index < extra)) / 100} for index, name in enumerate(names)]
    flag_services.update_flag(
        actor=visit(request).actor,
        environment=environment,
        key=key,
        payload={"rollout": rollout, "enabled": True},
        version=None,
        reason="Even split for an experiment",
    )


def render_design(
    model_admin: "ExperimentAdmin",
    request: HttpRequest,
    environment: Environment,
    design: Design,
    *,
    status: int,
    title: str,
    template: str = "experiments/designer.html",
    **shown: Any,
) -> HttpResponse:
    design.guardrails += [
        {"metric": "", "marginPercent": "", "action": "warn"} for _ in range(GUARDRAIL_ROWS - len(design.guardrails))
    ]
    configs = search_configs(environment)
    return model_admin.page(
        request,
        template,
        title=title,
        status=status,
        place=environment,
        design=design,
        flags=[
            {
                "key": config.flag.key,
                "variants": json.dumps([variant["key"] for variant in config.flag.variants]),
                "has_split": len({item[2] for item in config.allocation}) > 0,
            }
            for config in configs[:500]
        ],
        metrics=list(selectors.metrics(environment.project)[:500]),
        layers=list(Layer.objects.filter(environment=environment)),
        methods=Experiment.Method.choices,
        actions=ExperimentMetric.Action.choices,
        operators=conditions.offered(),
        attributes_url=f"{reverse('admin:flags_flagconfig_attributes')}?environment={environment.pk}",
        kinds=conditions.KINDS.items(),
        segments=list(search_segments(environment).values_list("key", flat=True)[:500]),
        blank_rule={"ref": "0"},
        blank_condition=ConditionRow("__condition__"),
        may_edit=True,
        plan_url=f"{reverse('admin:experiments_experiment_plan')}?environment={environment.pk}",
        list_url=model_admin.list_url(),
        **shown,
    )


def plan(model_admin: "ExperimentAdmin", request: HttpRequest, environment: Environment) -> HttpResponse:  # noqa: ARG001 - as the other pages
    """The fragment beside the form: how many users, and how long at last week's traffic."""
    design = Design.sent(request.POST)
    shown: dict[str, Any] = {"plan": design.plan}
    try:
        shown |= _planned(environment, design)
    except ServiceError as error:
        shown["problems"] = [problem.detail for problem in error.problems]
    return render(request, "experiments/plan.html", shown)


def _planned(environment: Environment, design: Design) -> dict[str, Any]:
    texts = design.texts
    found = _recent(environment, texts)
    baseline = _share(design.plan["baseline"]) or (found.baseline_rate if found else None)
    effect, power = _share(design.plan["effect"]), _share(design.plan["power"])
    shown: dict[str, Any] = {"recent": found, "baseline": baseline}
    if baseline is None or effect is None or power is None:
        return shown
    answer = planning.solve(
        {
            "type": "binary",
            "baseline": baseline,
            "treatmentShare": 0.5,
            "alpha": plain_number(texts["alpha"]) or 0.05,
            "power": power,
            "minimumDetectableEffect": effect,
            "method": texts["method"] or Experiment.Method.ALWAYS_VALID,
            "looks": planning.PLANNED_LOOKS,
        }
    )
    per_day = found.users_per_day if found else 0
    users = answer["users"]
    days = math.ceil(users / per_day) if users and per_day else None
    return {**shown, "answer": answer, "days": days, "effect": effect, "power": power}


def _recent(environment: Environment, texts: Mapping[str, str]) -> planning.Estimate | None:
    """Last week's traffic and rate, once a flag and a metric are chosen."""
    if not texts["flagKey"] or not texts["primaryMetric"]:
        return None
    try:
        config = get_config(environment, texts["flagKey"])
        metric = selectors.get_metric(environment.project, texts["primaryMetric"])
    except NotFound:
        return None
    traffic = plain_number(texts["trafficPercent"]) or 100
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
