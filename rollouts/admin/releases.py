"""The page that ends an experiment by a plan: its winner is released in steps, in place of a jump to everybody."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from experiments.admin.acts import ActLink, register_act_link
from experiments.models import Experiment
from experiments.selectors import get_experiment
from rollouts import services
from rollouts.admin.plan_form import PlanForm
from rollouts.planning.words import proposed
from rollouts.services.rights import require_reach
from tenancy.console_kit.context import console_context
from tenancy.console_kit.environments import may_edit
from tenancy.console_kit.forms import form_page, sent_data
from tenancy.console_kit.pages import object_url
from tenancy.models import Environment


class ReleaseForm(PlanForm):
    """A plan of the flag's own share, of a treatment."""

    def __init__(self, *args: Any, experiment: Experiment, **given: Any) -> None:
        super().__init__(*args, config=experiment.config, **given)
        del self.fields["rule"], self.fields["version"]
        variant: Any = self.fields["variant"]
        variant.choices = [choice for choice in variant.choices if choice[0] != experiment.control_variant]

    def payload(self) -> dict[str, Any]:
        document = super().payload()
        del document["ruleId"]
        return {**document, "reason": self.cleaned_data["reason"]}


def release_page(request: HttpRequest, environment: Environment) -> HttpResponse:
    experiment = get_experiment(environment, request.GET.get("experiment", ""))
    form = ReleaseForm(sent_data(request), initial={"steps": proposed(0)}, experiment=experiment)

    def perform(_sent: dict[str, Any]) -> HttpResponse:
        context, payload = console_context(request), form.payload()
        require_reach(context.principal, environment, then=payload["then"])
        plan = services.release_winner(
            actor=context.actor, environment=environment, pk=str(experiment.pk), payload=payload
        )
        messages.success(request, f"{experiment.name} is completed, and the plan has begun.")
        return redirect(object_url(plan))

    return form_page(
        request,
        form,
        perform,
        title=f"Release a variant of {experiment.name} in steps",
        submit="Complete it and start the plan",
        cancel_url=object_url(experiment),
        serves=environment,
        intro="The experiment ends with the decision to ship. Its split becomes the flag's own rollout where it takes "
        "everybody, so whoever had the variant keeps it. Steps at or below that share are left out.",
    )


def _url(request: HttpRequest, experiment: Experiment) -> str:
    if experiment.status not in Experiment.SERVED or not may_edit(request, experiment):
        return ""
    query = urlencode({"environment": experiment.environment_id, "experiment": experiment.key})
    return f"{reverse('admin:rollouts_rolloutplan_release')}?{query}"


register_act_link(ActLink("Release in steps…", _url))
