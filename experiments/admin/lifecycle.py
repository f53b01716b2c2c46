"""The pages that ask before an experiment is started, paused, resumed, restarted or completed."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from experiments import services
from experiments.admin.pages import console_page
from experiments.admin.results import recommended
from experiments.design.preflight import check_before_start
from experiments.models import Experiment
from tenancy.console_kit.context import console_context
from tenancy.errors import ServiceError

View = Callable[..., HttpResponse]
# What each act says before it happens; `complete` has a page of its own, because it takes a decision.
ACTS: dict[str, tuple[str, str, Any]] = {
    "start": ("Start", "From now on users are enrolled and their split is locked.", services.start_experiment),
    "pause": (
        "Pause",
        "Nobody new is taken into the analysis. What users are served stays as it is.",
        services.pause_experiment,
    ),
    "resume": ("Resume", "New users are taken into the analysis again.", services.resume_experiment),
    "restart": (
        "Restart",
        "A new phase begins and everybody is dealt anew: users may change variant. Earlier figures stay, apart.",
        services.restart_experiment,
    ),
}
_DONE = {"start": "started", "pause": "paused", "resume": "resumed", "restart": "restarted"}


def acting(verb: str) -> View:
    label, intro, act = ACTS[verb]

    def run(request: HttpRequest, experiment: Experiment) -> HttpResponse:
        problems: list[str] = []
        if request.method == "POST":
            try:
                act(
                    actor=console_context(request).actor,
                    environment=experiment.environment,
                    pk=experiment.pk,
                    reason=request.POST.get("reason", "").strip(),
                )
            except ServiceError as error:
                problems = [problem.detail for problem in error.problems]
            else:
                messages.success(request, f"{experiment.name} is {_DONE[verb]}.")
                return redirect("admin:experiments_experiment_change", experiment.pk)
        return console_page(
            request,
            "experiments/act.html",
            title=f"{label} {experiment.name}?",
            experiment=experiment,
            intro=intro,
            submit=label,
            problems=problems,
            status=409 if problems else 200,
            preflight=check_before_start(experiment) if verb == "start" else None,
        )

    return run


def complete(request: HttpRequest, experiment: Experiment) -> HttpResponse:
    """The decision: ship a variant to everybody, or go back to the control."""
    problems: list[str] = []
    choice = request.POST.get("choice", "")
    if request.method == "POST":
        decision, _, variant = choice.partition(":")
        try:
            services.complete_experiment(
                actor=console_context(request).actor,
                environment=experiment.environment,
                pk=experiment.pk,
                decision=decision,
                variant=variant or None,
                reason=request.POST.get("reason", "").strip(),
            )
        except ServiceError as error:
            problems = [problem.detail for problem in error.problems]
        else:
            messages.success(request, f"{experiment.name} is completed.")
            return redirect("admin:experiments_experiment_results", experiment.pk)
    return console_page(
        request,
        "experiments/complete.html",
        title=f"Complete {experiment.name}",
        experiment=experiment,
        choice=choice,
        problems=problems,
        status=409 if problems else 200,
        treatments=[
            item["key"] for item in experiment.config.flag.variants if item["key"] != experiment.control_variant
        ],
        **recommended(experiment),
    )
