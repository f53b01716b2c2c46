"""Editing an experiment: a draft whole, one that has started in what no figure rests on; two people at once."""

import json
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from audit.models import Entry
from experiments import services
from experiments.admin.changes import base_of, changes_in
from experiments.admin.design_form import Design
from experiments.admin.design_page import render_design
from experiments.admin.locked import locked
from experiments.models import Experiment
from experiments.selectors import get_experiment
from experiments.services.drafts import LIVE_FIELDS
from flags.documents import percent_of
from tenancy.console_kit.conflicts import notice_of
from tenancy.console_kit.context import console_context
from tenancy.errors import ServiceError


def page(request: HttpRequest, experiment: Experiment) -> HttpResponse:
    """Send on what this person changed and nothing else, so that nobody's change is overwritten unseen."""
    is_draft = experiment.status == Experiment.Status.DRAFT
    design = Design.of(experiment)
    base = _comparable(design)
    shown: dict[str, Any] = {"version": experiment.version, "base": base}
    status = 200
    if request.method == "POST":
        stored, design, status = design, Design.sent(request.POST), 422
        if not is_draft:
            # What is locked has no field on the page, so it is as it is.
            design.take(stored, base.keys() - LIVE_FIELDS)
        payload, problems = design.payload()
        shown = {"version": _version(request), "base": base_of(request.POST, base)}
        changed = changes_in(json.loads(json.dumps(payload, default=str)), shown["base"])
        if not problems:
            try:
                services.update_experiment(
                    actor=console_context(request).actor,
                    environment=experiment.environment,
                    pk=experiment.pk,
                    payload={name: payload[name] for name in changed},
                    version=shown["version"],
                )
            except ServiceError as error:
                problems = error.problems
                if problems[0].code == "version_conflict":
                    status, problems = 409, []
                    _merge(experiment, design, changed, shown)
            else:
                messages.success(request, "Saved.")
                return redirect("admin:experiments_experiment_change", experiment.pk)
        design.place(problems)
    if is_draft:
        template, title = "experiments/designer.html", f"Edit {experiment.name}"
    else:
        template, title = "experiments/live.html", f"Change {experiment.name} while it has started"
        shown["locked"] = locked(experiment)
        shown["traffic_before"] = percent_of(experiment.traffic_bp)
        shown["is_completed"] = experiment.status == Experiment.Status.COMPLETED
    shown["base"] = json.dumps(shown["base"])
    return render_design(
        request,
        experiment.environment,
        design,
        template=template,
        status=status,
        title=title,
        experiment=experiment,
        **shown,
    )


def _merge(experiment: Experiment, design: Design, changed: dict[str, Any], shown: dict[str, Any]) -> None:
    """Somebody saved in between: this person's changes over what is there now, and what the other one did."""
    now = get_experiment(experiment.environment, experiment.pk)
    theirs = Design.of(now)
    current = _comparable(theirs)
    entries = Entry.objects.filter(
        organization_id=experiment.environment.project.organization_id,
        entity_type="experiment",
        entity_key=experiment.key,
    )
    shown["conflict"] = notice_of(entries, shown["base"], current, changed)
    design.take(theirs, current.keys() - changed.keys())
    shown |= {"version": now.version, "base": current}


def _comparable(design: Design) -> dict[str, Any]:
    """What the page would send if nothing were touched, as JSON has it."""
    found: dict[str, Any] = json.loads(json.dumps(design.payload()[0], default=str))
    return found


def _version(request: HttpRequest) -> int:
    sent = request.POST.get("version", "")
    return int(sent) if sent.isascii() and sent.isdigit() and len(sent) < 19 else 0
