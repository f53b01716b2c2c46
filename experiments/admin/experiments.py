"""Experiments in the console: the list, and the routes to each one's pages."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.decorators import display

from experiments.admin import decision, jobs, lifecycle, overview
from experiments.admin.designer import editing, new_experiment, plan
from experiments.admin.results import results_page
from experiments.admin.simulation import simulation_page
from experiments.models import Experiment
from experiments.selectors import with_parts
from flags.documents import percent_of
from tenancy.console_kit.admin import EmptyList
from tenancy.console_kit.environments import PerEnvironmentAdmin, environment_ids
from tenancy.console_kit.formats import moment
from tenancy.console_kit.routes import About, Route
from tenancy.models import Environment
from tenancy.roles import Role

_STORED = "<path:object_id>/results/<uuid:result_id>"
ROUTES = (
    Route("plan/", "plan", plan.fragment, About.ENVIRONMENT, Role.EDITOR),
    # Simulating reads no tenant's data beyond what a viewer may see.
    Route("simulate/", "simulate", simulation_page.page, About.PLACED_LIST),
    Route("jobs/", "jobs", jobs.page, About.PLACED_LIST),
    Route("<path:object_id>/edit/", "edit", editing.page, role=Role.EDITOR),
    Route("<path:object_id>/start/", "start", lifecycle.start, role=Role.EDITOR),
    Route("<path:object_id>/pause/", "pause", lifecycle.pause, role=Role.EDITOR),
    Route("<path:object_id>/resume/", "resume", lifecycle.resume, role=Role.EDITOR),
    Route("<path:object_id>/restart/", "restart", lifecycle.restart, role=Role.EDITOR),
    Route("<path:object_id>/complete/", "complete", decision.page, role=Role.EDITOR),
    Route("<path:object_id>/results/", "results", results_page.page),
    Route("<path:object_id>/results.csv", "export", results_page.export),
    Route("<path:object_id>/results/charts/<slug:name>.svg", "chart", results_page.chart),
    Route(f"{_STORED}/", "stored", results_page.page),
    Route(f"{_STORED}.csv", "stored_export", results_page.export),
    Route(f"{_STORED}/charts/<slug:name>.svg", "stored_chart", results_page.chart),
)


@admin.register(Experiment)
class ExperimentAdmin(PerEnvironmentAdmin):
    list_display = ["name", "status_label", "flag", "primary_metric", "traffic", "started", "decision_label"]
    list_filter = ["status"]
    search_fields = ["name", "config__flag__key", "hypothesis"]
    search_help_text = "Search by name, flag or hypothesis"
    empty = EmptyList(
        "No experiments here yet",
        "An experiment gives the variants of a flag to comparable users, counts what they do, and says which variant "
        "is better and how sure that is.",
        "Design the first one",
    )
    routes = ROUTES
    removal = lifecycle.REMOVAL

    def get_queryset(self, request: HttpRequest) -> QuerySet[Experiment]:
        return with_parts(Experiment.objects.filter(environment__in=environment_ids(request)))

    @display(
        description="Status",
        ordering="status",
        label={"draft": "default", "running": "success", "paused": "warning", "completed": "info"},
    )
    def status_label(self, experiment: Experiment) -> tuple[str, str]:
        return experiment.status, experiment.get_status_display()

    @display(description="Flag", ordering="config__flag__key")
    def flag(self, experiment: Experiment) -> str:
        return experiment.config.flag.key

    @display(description="Traffic", ordering="traffic_bp")
    def traffic(self, experiment: Experiment) -> str:
        return f"{percent_of(experiment.traffic_bp)} %"

    @display(description="Started", ordering="started_at")
    def started(self, experiment: Experiment) -> str:
        return moment(experiment.started_at) if experiment.started_at else "not yet"

    @display(description="Decision")
    def decision_label(self, experiment: Experiment) -> str:
        shipped = f" ({experiment.shipped_variant})" if experiment.shipped_variant else ""
        return f"{experiment.get_decision_display()}{shipped}" if experiment.decision else "-"

    def create_in(self, request: HttpRequest, environment: Environment) -> HttpResponse:
        return new_experiment.page(request, environment)

    def show(self, request: HttpRequest, thing: Experiment) -> HttpResponse:
        return overview.page(request, thing)
