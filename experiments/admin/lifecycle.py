"""The pages that ask before an experiment is started, paused, resumed, restarted or deleted."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse

from audit.actors import Actor
from experiments import services
from experiments.design.act_impact import impact_of_start
from experiments.design.preflight import check_before_start
from experiments.models import Experiment
from tenancy.console_kit.confirm import ConfirmPage, ReasonForm
from tenancy.console_kit.context import console_context
from tenancy.console_kit.environments import may_edit
from tenancy.console_kit.pages import object_url
from tenancy.console_kit.removal import Removal

Act = Callable[[dict[str, Any]], str]


class StartForm(ReasonForm):
    enable_flag = forms.BooleanField(required=False)


def start(request: HttpRequest, experiment: Experiment) -> HttpResponse:
    """Ask first. A flag that is off is switched on only where somebody ticks it, with the consequence beside it."""

    def act(sent: dict[str, Any]) -> str:
        services.start_experiment(
            actor=console_context(request).actor,
            environment=experiment.environment,
            pk=experiment.pk,
            reason=sent["reason"],
            enable_flag=sent["enable_flag"],
        )
        return f"{experiment.name} is started."

    preflight = check_before_start(experiment)
    with_flag_on = check_before_start(experiment, enable_flag=True) if preflight.enabling else preflight
    return ConfirmPage(
        title=f"Start {experiment.name}?",
        submit="Start",
        act=act,
        cancel_url=object_url(experiment),
        intro="From now on the experiment serves those who take part, and its split is locked.",
        form=StartForm,
        template="experiments/start.html",
        is_possible=with_flag_on.may_start,
        serves=experiment.environment,
        shown={"preflight": preflight, "impact": impact_of_start(experiment, enable_flag=bool(preflight.enabling))},
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
        serves=experiment.environment,
    ).answer(request)


def restart(request: HttpRequest, experiment: Experiment) -> HttpResponse:
    return ConfirmPage(
        title=f"Restart {experiment.name}?",
        submit="Restart",
        act=_act(request, experiment, services.restart_experiment, "restarted"),
        cancel_url=object_url(experiment),
        intro="A new phase begins and everybody is assigned anew: users may change variant. So may users whom a share "
        "of the flag's rollout or of its rules serves, because the salt is the flag's. The figures so far stay, as a "
        "phase of their own.",
        serves=experiment.environment,
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
