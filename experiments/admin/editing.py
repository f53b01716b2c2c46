"""Editing an experiment: a draft whole, one that has started in what no figure rests on; two people at once."""

import json
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from audit.models import Entry
from experiments import services
from experiments.admin.design_form import Design
from experiments.admin.designer import render_design
from experiments.models import Experiment
from experiments.selectors import get_experiment
from experiments.services.drafts import LIVE_FIELDS
from flags.admin.flag.changes import base_of, changes_in
from flags.documents import percent_of
from tenancy.console_kit.conflicts import notice_of
from tenancy.console_kit.context import console_context
from tenancy.errors import ServiceError

if TYPE_CHECKING:
    from experiments.admin.experiments import ExperimentAdmin


def edit(model_admin: "ExperimentAdmin", request: HttpRequest, experiment: Experiment) -> HttpResponse:
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
        model_admin,
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


def locked(experiment: Experiment) -> list[tuple[str, str, str]]:
    """`(what, as it is, why)` of all that is fixed once an experiment has started."""
    split = ", ".join(f"{key} {percent_of(weight)} %" for key, weight in _weights(experiment).items())
    uses = list(experiment.metrics.all())
    of_role = {
        role: ", ".join(
            f"{use.metric.name} (margin {use.margin_percent} %, then {use.get_action_display().lower()})"
            if use.margin_percent
            else use.metric.name
            for use in uses
            if use.role == role
        )
        for role in {use.role for use in uses}
    }
    counted = "Metrics chosen after a look at the figures would be chosen by them."
    enrolled = "Those enrolled so far came by it. A restart deals everybody anew, as a phase of its own."
    counted_so = "What counts for a user, chosen after a look at the figures, would be chosen by them."
    judged = "The error rate is promised for the plan made before the first look."
    return [
        ("Flag", experiment.config.flag.key, "The experiment is about it. Create another one."),
        ("Control", experiment.control_variant, "Every comparison is with it."),
        ("Split", split, enrolled),
        ("Audience", "limited" if experiment.audience else "everybody", enrolled),
        ("Layer", experiment.layer.name if experiment.layer else "its own", enrolled),
        ("Primary metric", experiment.primary_metric.name, counted),
        ("Secondary metrics", of_role.get("secondary", "none"), counted),
        ("Guardrails", of_role.get("guardrail", "none"), counted),
        ("Method", f"{experiment.get_method_display()}, error rate {experiment.alpha:g}", judged),
        ("Correction", experiment.get_correction_display(), judged),
        ("Most extreme users", capping(experiment), counted_so),
        ("Adjusted for what users did before", "yes (CUPED)" if experiment.is_cuped else "no", counted_so),
    ]


def capping(experiment: Experiment) -> str:
    share = experiment.winsorize_percent
    if share is None:
        return "count in full"
    return f"the top {share:g} % of those who have any count as much as the next below them"


def _weights(experiment: Experiment) -> dict[str, int]:
    phases = list(experiment.phases.all())
    return dict(phases[-1].weights) if phases else {}


def _version(request: HttpRequest) -> int:
    sent = request.POST.get("version", "")
    return int(sent) if sent.isascii() and sent.isdigit() and len(sent) < 19 else 0
