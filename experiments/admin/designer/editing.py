"""Editing an experiment: every field of a draft, and those fields of a started one that no figure depends on."""

from functools import partial
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from audit.models import Entry
from experiments import services
from experiments.admin.designer.design_document import document_of
from experiments.admin.designer.design_page import design_page
from experiments.admin.locked import locked
from experiments.api.serializers import ExperimentSerializer
from experiments.models import Experiment
from experiments.selectors import get_experiment
from experiments.services.drafts import FIELDS, LIVE_FIELDS
from flags.documents import percent_of
from tenancy.console_kit import proposals
from tenancy.console_kit.context import console_context
from tenancy.console_kit.documents import DocumentEdit
from tenancy.console_kit.pages import object_url
from tenancy.errors import ServiceError


def page(request: HttpRequest, experiment: Experiment) -> HttpResponse:
    """Save the fields that this person changed and no other, so that nobody's change is overwritten unseen."""
    is_draft = experiment.status == Experiment.Status.DRAFT
    names = FIELDS if is_draft else LIVE_FIELDS
    if experiment.is_served:
        names = LIVE_FIELDS | {"secondaryMetrics"}
    stored = document_of(experiment, names)
    edit = DocumentEdit.opened(stored, experiment.version)
    if request.method == "POST":
        edit = DocumentEdit.sent(request, stored)
        changed: dict[str, Any] = {}
        try:
            changed = edit.changes(ExperimentSerializer)
            write = partial(
                services.update_experiment,
                actor=console_context(request).actor,
                environment=experiment.environment,
                pk=experiment.pk,
                payload=changed,
                version=edit.version,
            )
            proposals.attempted(request, write, experiment.environment)
        except ServiceError as error:
            if error.problems[0].code == "version_conflict":
                now = get_experiment(experiment.environment, experiment.pk)
                edit.merge(document_of(now, names), now.version, changed, _entries(experiment))
            elif (made := edit.refused(request, error)) is not None:
                return made
        else:
            messages.success(request, "Saved.")
            return redirect(object_url(experiment))
    if is_draft:
        title = f"Edit {experiment.name}"
        return design_page(request, experiment.environment, edit, title=title, experiment=experiment)
    return design_page(
        request,
        experiment.environment,
        edit,
        title=f"Change {experiment.name} while it has started",
        template="experiments/live.html",
        experiment=experiment,
        locked=locked(experiment),
        traffic_before=percent_of(experiment.traffic_bp),
        is_completed=experiment.status == Experiment.Status.COMPLETED,
    )


def _entries(experiment: Experiment) -> Any:
    return Entry.objects.filter(
        organization_id=experiment.environment.project.organization_id,
        entity_type="experiment",
        entity_key=experiment.key,
    )
