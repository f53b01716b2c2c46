"""An experiment's own page: its design, what prevents a start, its phases, stored results and possible acts."""

from django.http import HttpRequest, HttpResponse

from experiments.admin.acts import act_links_for, acts_of, decision_entry
from experiments.admin.lifecycle import REMOVAL
from experiments.admin.locked import capping, locked, split_shown
from experiments.analysis.metric_types import metric_type
from experiments.design.preflight import check_before_start
from experiments.models import Experiment
from experiments.selectors import stored_results
from flags.admin.flag.sentences import describe_tree
from flags.documents import percent_of
from tenancy.console_kit.pages import console_page


def page(request: HttpRequest, experiment: Experiment) -> HttpResponse:
    is_draft = experiment.status == Experiment.Status.DRAFT
    return console_page(
        request,
        "experiments/experiment.html",
        title=experiment.name,
        experiment=experiment,
        measures=metric_type(experiment.primary_metric).label,
        split=split_shown(experiment),
        audience=f"Users for whom {describe_tree(experiment.audience)}" if experiment.audience else "everybody",
        traffic=percent_of(experiment.traffic_bp),
        acts=acts_of(request, experiment),
        act_links=act_links_for(request, experiment),
        decision_entry=decision_entry(experiment),
        preflight=check_before_start(experiment) if is_draft else None,
        remove_url=REMOVAL.url(request, experiment) if is_draft else "",
        stored=stored_results(experiment)[:20],
        capping=capping(experiment),
        locked=None if is_draft else locked(experiment),
    )
