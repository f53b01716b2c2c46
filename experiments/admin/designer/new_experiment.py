"""The designer: one page that creates a draft."""

import re

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from experiments import services
from experiments.admin.designer.design_document import new_document
from experiments.admin.designer.design_page import design_page
from experiments.api.serializers import ExperimentSerializer
from experiments.models import Experiment
from experiments.services.from_rule import design_from_rule
from flags.selectors import get_config
from tenancy.console_kit.context import console_context
from tenancy.console_kit.documents import DocumentEdit
from tenancy.console_kit.pages import object_url
from tenancy.errors import ServiceError
from tenancy.models import Environment


def page(request: HttpRequest, environment: Environment) -> HttpResponse:
    edit = _opened(request, environment)
    if request.method == "POST":
        edit = DocumentEdit.sent(request)
        try:
            experiment = _create(request, environment, edit)
        except ServiceError as error:
            edit.refuse(error)
        else:
            messages.success(request, f"{experiment.name} is a draft. Look it over, and start it.")
            return redirect(object_url(experiment))
    return design_page(request, environment, edit, title=f"New experiment in {environment}")


def _opened(request: HttpRequest, environment: Environment) -> DocumentEdit:
    """An empty design, of the flag and the rule in the address where there are any."""
    flag_key, rule_id = request.GET.get("flag", ""), request.GET.get("rule", "")
    edit = DocumentEdit(new_document(flag_key))
    if rule_id:
        try:
            edit.document |= design_from_rule(get_config(environment, flag_key), rule_id)
        except ServiceError as error:
            edit.refuse(error)
    return edit


@transaction.atomic
def _create(request: HttpRequest, environment: Environment, edit: DocumentEdit) -> Experiment:
    """Create the draft, with a metric of a new event where the page asks for one. The flag stays as it is."""
    payload = edit.checked(ExperimentSerializer)
    event = request.POST.get("newEvent", "").strip()
    if event:
        payload["primaryMetric"] = _new_metric(request, environment, event)
    actor = console_context(request).actor
    return services.create_experiment(actor=actor, environment=environment, payload=payload)


def _new_metric(request: HttpRequest, environment: Environment, event: str) -> str:
    """Return the key of the metric "users with at least one such event", which is named after the event."""
    key = re.sub(r"[^A-Za-z0-9._-]+", "-", event).strip("-._")[:100] or "metric"
    metric, _ = services.create_metric(
        actor=console_context(request).actor,
        environment=environment,
        payload={"key": key, "name": event, "type": "binary", "eventName": event},
    )
    return str(metric.key)
