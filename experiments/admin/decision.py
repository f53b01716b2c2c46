"""The page that ends an experiment: each decision with whom it changes, and with what speaks against it."""

from typing import Any, TypedDict

from django import forms
from django.http import HttpRequest, HttpResponse

from experiments import services
from experiments.admin.results.results_page import recommended, users_to_wait_for
from experiments.analysis.ship_evidence import objections_to
from experiments.design.act_impact import impact_of_completion
from experiments.models import Experiment
from experiments.payloads import Results
from tenancy.console_kit.confirm import ConfirmPage, ReasonForm
from tenancy.console_kit.context import console_context
from tenancy.console_kit.pages import object_url

_SCOPE = Experiment.Scope


class DecisionForm(ReasonForm):
    """`choice` is `stop`, or `ship:`, a variant, `:` and to whom."""

    choice = forms.CharField(required=False)


class Choice(TypedDict):
    """One decision. `effects` say whom it changes, `objections` what speaks against it."""

    value: str
    label: str
    effects: list[str]
    objections: list[str]


def page(request: HttpRequest, experiment: Experiment) -> HttpResponse:
    """Shipping against the results needs a reason, and the page says so before anything is chosen."""

    def act(sent: dict[str, Any]) -> str:
        decision, _, rest = sent["choice"].partition(":")
        variant, _, scope = rest.rpartition(":")
        if scope not in _SCOPE.values:
            variant, scope = rest, ""
        services.complete_experiment(
            actor=console_context(request).actor,
            environment=experiment.environment,
            pk=experiment.pk,
            decision=decision,
            variant=variant or None,
            to=scope or None,
            reason=sent["reason"],
        )
        return f"{experiment.name} is completed."

    said = recommended(experiment)
    choices = _choices(experiment, said.get("payload"))
    is_dangerous = any(choice["objections"] for choice in choices)
    return ConfirmPage(
        title=f"Complete {experiment.name}",
        submit="Complete the experiment",
        act=act,
        cancel_url=object_url(experiment),
        done_url=object_url(experiment, "results"),
        tone="danger" if is_dangerous else "warn",
        reason_label="Why? Required to ship against the results" if is_dangerous else "Why?",
        serves=experiment.environment,
        form=DecisionForm,
        template="experiments/complete.html",
        shown={"experiment": experiment, "choices": choices, "is_late": bool(users_to_wait_for(experiment)), **said},
    ).answer(request)


def _choices(experiment: Experiment, results: Results | None) -> list[Choice]:
    control = experiment.control_variant
    treatments = [item["key"] for item in experiment.config.flag.variants if item["key"] != control]
    choices = [
        _choice(experiment, f"ship:{variant}:{scope}", variant, scope, results)
        for variant in treatments
        for scope in ([_SCOPE.EVERYONE, _SCOPE.AUDIENCE] if experiment.audience is not None else [_SCOPE.EVERYONE])
    ]
    return [*choices, _choice(experiment, "stop", "" if experiment.owns_split else control, "", results)]


def _choice(experiment: Experiment, value: str, variant: str, scope: str, results: Results | None) -> Choice:
    is_ship = value != "stop"
    if is_ship:
        label = f"Ship {variant} to {'the audience' if scope == _SCOPE.AUDIENCE else 'everyone'}"
    else:
        label = "Stop: those who take part get what everybody else gets"
    return {
        "value": value,
        "label": label,
        "effects": [group["text"] for group in impact_of_completion(experiment, variant, scope)["groups"]],
        "objections": objections_to(experiment, results, variant) if is_ship and results is not None else [],
    }
