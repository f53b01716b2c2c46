"""The designer: a draft put together on one page."""

import re

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from experiments import services
from experiments.admin.design_form import Design
from experiments.admin.design_page import render_design
from experiments.models import Experiment
from flags import services as flag_services
from flags.selectors import get_config
from tenancy.console_kit.context import console_context
from tenancy.errors import ServiceError
from tenancy.models import Environment


def page(request: HttpRequest, environment: Environment) -> HttpResponse:
    design = Design.empty()
    design.texts["flagKey"] = request.GET.get("flag", "")
    status = 200
    if request.method == "POST":
        design, status = Design.sent(request.POST), 422
        experiment = _create(request, environment, design)
        if experiment is not None:
            messages.success(request, f"{experiment.name} is a draft. Look it over, and start it.")
            return redirect("admin:experiments_experiment_change", experiment.pk)
    return render_design(request, environment, design, status=status, title=f"New experiment in {environment}")


def _create(request: HttpRequest, environment: Environment, design: Design) -> Experiment | None:
    payload, problems = design.payload()
    if not problems:
        actor = console_context(request).actor
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
        actor=console_context(request).actor,
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
        actor=console_context(request).actor,
        environment=environment,
        key=key,
        payload={"rollout": rollout, "enabled": True},
        version=None,
        reason="Even split for an experiment",
    )
