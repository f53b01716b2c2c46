"""An experiment's own page: its design, what stands in its way, its phases and stored results, and what may be done."""

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from openflagship.engine import buckets_by_variant

from experiments.admin.locked import capping, locked
from experiments.admin.pages import console_page
from experiments.analysis.metric_types import metric_type
from experiments.design.preflight import check_before_start
from experiments.models import Experiment
from experiments.selectors import stored_results
from flags.documents import percent_of
from tenancy.console_kit.context import console_context
from tenancy.roles import Role


def page(request: HttpRequest, experiment: Experiment) -> HttpResponse:
    may_edit = console_context(request).may(Role.EDITOR, experiment.environment)
    is_draft = experiment.status == Experiment.Status.DRAFT
    acts = {
        Experiment.Status.DRAFT: ["edit", "start"],
        Experiment.Status.RUNNING: ["edit", "pause", "restart", "complete"],
        Experiment.Status.PAUSED: ["edit", "resume", "restart", "complete"],
        Experiment.Status.COMPLETED: ["edit"],
    }.get(Experiment.Status(experiment.status), [])
    return console_page(
        request,
        "experiments/experiment.html",
        title=experiment.name,
        experiment=experiment,
        measures=metric_type(experiment.primary_metric).label,
        split=[(key, percent_of(weight)) for key, weight in _split(experiment).items()],
        traffic=percent_of(experiment.traffic_bp),
        acts=acts if may_edit else [],
        preflight=check_before_start(experiment) if is_draft else None,
        remove_url=reverse("admin:experiments_experiment_delete", args=[experiment.pk])
        if may_edit and is_draft
        else "",
        stored=stored_results(experiment)[:20],
        capping=capping(experiment),
        locked=None if is_draft else locked(experiment),
    )


def _split(experiment: Experiment) -> dict[str, int]:
    phases = list(experiment.phases.all())
    if phases:
        return dict(phases[-1].weights)
    weights = {variant["key"]: 0 for variant in experiment.config.flag.variants}
    return weights | buckets_by_variant(experiment.config.allocation)
