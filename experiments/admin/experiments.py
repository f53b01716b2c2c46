"""Experiments in the console: the list, and the routes to each one's pages."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from unfold.decorators import display

from experiments import services
from experiments.admin import designer, editing, jobs, lifecycle, overview, plan, results, simulation
from experiments.models import Experiment
from experiments.selectors import with_parts
from flags.documents import percent_of
from tenancy.console_kit.admin import EmptyList
from tenancy.console_kit.context import console_context
from tenancy.console_kit.environments import PerEnvironmentAdmin
from tenancy.console_kit.removal import RemovableAdmin
from tenancy.instants import moment

View = Callable[..., HttpResponse]


@admin.register(Experiment)
class ExperimentAdmin(RemovableAdmin, PerEnvironmentAdmin):
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

    def get_queryset(self, request: HttpRequest) -> QuerySet[Experiment]:
        environments = [environment.pk for environment in console_context(request).environments]
        return with_parts(Experiment.objects.filter(environment__in=environments))

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
        return f"{experiment.get_decision_display()} ({experiment.shipped_variant})" if experiment.decision else "-"

    def get_urls(self) -> list[URLPattern]:
        def route(pattern: str, view: View, name: str) -> URLPattern:
            return path(pattern, self.admin_site.admin_view(view), name=f"experiments_experiment_{name}")

        return [
            route("plan/", self._plan, "plan"),
            route("simulate/", self._simulate, "simulate"),
            route("jobs/", self._jobs, "jobs"),
            route("<path:object_id>/edit/", self._on_experiment(editing.edit, needs_editor=True), "edit"),
            route("<path:object_id>/results/", self._on_experiment(results.page), "results"),
            route("<path:object_id>/results.csv", self._on_experiment(results.export), "export"),
            route("<path:object_id>/results/charts/<slug:name>.svg", self._on_experiment(results.chart), "chart"),
            route("<path:object_id>/results/<uuid:result_id>/", self._on_experiment(results.page), "stored"),
            route(
                "<path:object_id>/results/<uuid:result_id>.csv", self._on_experiment(results.export), "stored_export"
            ),
            route(
                "<path:object_id>/results/<uuid:result_id>/charts/<slug:name>.svg",
                self._on_experiment(results.chart),
                "stored_chart",
            ),
            *(
                route(f"<path:object_id>/{verb}/", self._on_experiment(lifecycle.acting(verb), needs_editor=True), verb)
                for verb in lifecycle.ACTS
            ),
            route("<path:object_id>/complete/", self._on_experiment(lifecycle.complete, needs_editor=True), "complete"),
            *super().get_urls(),
        ]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",  # noqa: ARG002 - Django's signature
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002 - likewise
    ) -> HttpResponse:
        if object_id is None:
            if not self.has_add_permission(request):
                raise PermissionDenied
            return designer.create(request)
        return self._on_experiment(overview.page)(request, object_id)

    def _plan(self, request: HttpRequest) -> HttpResponse:
        environment = console_context(request).environment
        if environment is None or not self.has_add_permission(request):
            raise PermissionDenied
        return plan.fragment(request, environment)

    def _simulate(self, request: HttpRequest) -> HttpResponse:
        """Reads nobody's data, so whoever may see experiments may ask."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return simulation.page(request)

    def _jobs(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return jobs.page(request)

    def may_remove(self, request: HttpRequest, thing: Experiment) -> bool:
        return self.has_edit_permission(request, thing)

    def consequence(self, thing: Experiment) -> str:
        planned = " It will not start by itself, as was planned." if thing.starts_at else ""
        return (
            f"Its design goes: hypothesis, audience, metrics and method.{planned} It has never run, so nobody is "
            f"served anything else: {thing.config.flag.key} stays as it is, and so do its metrics. It cannot be "
            "brought back; what it was stays in the audit log."
        )

    def remove_thing(self, request: HttpRequest, thing: Experiment, reason: str) -> None:
        actor = console_context(request).actor
        services.delete_experiment(actor=actor, environment=thing.environment, pk=thing.pk, reason=reason)

    def _on_experiment(self, view: View, *, needs_editor: bool = False) -> View:
        """Find the experiment through the door (404 where it is not this person's) and check the role."""

        def run(request: HttpRequest, object_id: str, **given: Any) -> HttpResponse:
            experiment = self.get_object(request, object_id)
            if experiment is None:
                raise Http404("There is no such experiment, or it belongs to another tenant.")
            if needs_editor and not self.has_edit_permission(request, experiment):
                raise PermissionDenied
            return view(request, experiment, **given)

        return run
