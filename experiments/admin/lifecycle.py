"""The pages that ask before an experiment is started, paused, resumed, restarted, completed or deleted."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse

from audit.actors import Actor
from experiments import services
from experiments.admin.results.results_page import recommended
from experiments.design.preflight import check_before_start
from experiments.models import Experiment
from tenancy.console_kit.confirm import ConfirmPage, ReasonForm
from tenancy.console_kit.context import console_context
from tenancy.console_kit.environments import may_edit
from tenancy.console_kit.pages import object_url
from tenancy.console_kit.removal import Removal

Act = Callable[[dict[str, Any]], str]


class DecisionForm(ReasonForm):
    """`choice` is `stop`, or `ship:` and a variant."""

    choice = forms.CharField(required=False)


def start(request: HttpRequest, experiment: Experiment) -> HttpResponse:
    preflight = check_before_start(experiment)
    return ConfirmPage(
        title=f"Start {experiment.name}?",
        submit="Start",
        act=_act(request, experiment, services.start_experiment, "started"),
        cancel_url=object_url(experiment),
        intro="From now on users are enrolled and their split is locked.",
        template="experiments/start.html",
        is_possible=preflight.may_start,
        shown={"preflight": preflight},
    ).answer(request)


def pause(request: HttpRequest, experiment: Experiment) -> HttpResponse:
    return ConfirmPage(
        title=f"Pause {experiment.name}?",
        submit="Pause",
        act=_act(request, experiment, services.pause_experiment, "paused"),
        cancel_url=object_url(experiment),
        intro="Nobody new is taken into the analysis. What users are served stays as it is.",
    ).answer(request)


def resume(request: HttpRequest, experiment: Experiment) -> HttpResponse:
    return ConfirmPage(
        title=f"Resume {experiment.name}?",
        submit="Resume",
        act=_act(request, experiment, services.resume_experiment, "resumed"),
        cancel_url=object_url(experiment),
        intro="New users are taken into the analysis again.",
    ).answer(request)


def restart(request: HttpRequest, experiment: Experiment) -> HttpResponse:
    return ConfirmPage(
        title=f"Restart {experiment.name}?",
        submit="Restart",
        act=_act(request, experiment, services.restart_experiment, "restarted"),
        cancel_url=object_url(experiment),
        intro="A new phase begins and everybody is assigned anew: users may change variant. The figures so far stay, "
        "as a phase of their own.",
    ).answer(request)


def complete(request: HttpRequest, experiment: Experiment) -> HttpResponse:
    """The decision: ship a variant to everybody, or go back to the control."""

    def act(sent: dict[str, Any]) -> str:
        decision, _, variant = sent["choice"].partition(":")
        services.complete_experiment(
            actor=console_context(request).actor,
            environment=experiment.environment,
            pk=experiment.pk,
            decision=decision,
            variant=variant or None,
            reason=sent["reason"],
        )
        return f"{experiment.name} is completed."

    variants = [item["key"] for item in experiment.config.flag.variants]
    return ConfirmPage(
        title=f"Complete {experiment.name}",
        submit="Complete the experiment",
        act=act,
        cancel_url=object_url(experiment),
        done_url=object_url(experiment, "results"),
        tone="warn",
        reason_label="Why?",
        form=DecisionForm,
        template="experiments/complete.html",
        shown={
            "experiment": experiment,
            "treatments": [key for key in variants if key != experiment.control_variant],
            **recommended(experiment),
        },
    ).answer(request)


def _act(request: HttpRequest, experiment: Experiment, service: Callable[..., Any], done: str) -> Act:
    def act(sent: dict[str, Any]) -> str:
        service(
            actor=console_context(request).actor,
            environment=experiment.environment,
            pk=experiment.pk,
            reason=sent["reason"],
        )
        return f"{experiment.name} is {done}."

    return act


def _consequence(experiment: Experiment) -> str:
    planned = " It will not start by itself, as was planned." if experiment.starts_at else ""
    flag_key = experiment.config.flag.key
    return (
        f"Its design is deleted: hypothesis, audience, metrics and method.{planned} It has never run, so users are "
        f"served as before: {flag_key} stays as it is, and so do its metrics. It cannot be brought back; what it was "
        "stays in the audit log."
    )


def _delete(actor: Actor, experiment: Experiment, reason: str) -> None:
    services.delete_experiment(actor=actor, environment=experiment.environment, pk=experiment.pk, reason=reason)


REMOVAL: Removal[Experiment] = Removal(may_edit, _consequence, _delete)
