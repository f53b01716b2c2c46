"""Experiments in the console: the list, each one's page with its life cycle, and the results page."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from unfold.decorators import display

from experiments import services
from experiments.admin import designer, editing, jobs, plan, results, simulation
from experiments.design.preflight import check_before_start
from experiments.models import Experiment
from experiments.selectors import stored_results, with_parts
from flags.admin import Panel, register_panel
from flags.documents import percent_of
from flags.models import FlagConfig
from tenancy.admin import RemovableAdmin
from tenancy.console_kit.context import console_context
from tenancy.console_kit.environments import PerEnvironmentAdmin
from tenancy.errors import ServiceError
from tenancy.instants import moment
from tenancy.models import Role

View = Callable[..., HttpResponse]
# What each act says before it happens; `complete` has a page of its own, because it takes a decision.
_ACTS: dict[str, tuple[str, str, Any]] = {
    "start": ("Start", "From now on users are enrolled and their split is locked.", services.start_experiment),
    "pause": (
        "Pause",
        "Nobody new is taken into the analysis. What users are served stays as it is.",
        services.pause_experiment,
    ),
    "resume": ("Resume", "New users are taken into the analysis again.", services.resume_experiment),
    "restart": (
        "Restart",
        "A new phase begins and everybody is dealt anew: users may change variant. Earlier figures stay, apart.",
        services.restart_experiment,
    ),
}
_DONE = {"start": "started", "pause": "paused", "resume": "resumed", "restart": "restarted"}


@admin.register(Experiment)
class ExperimentAdmin(PerEnvironmentAdmin, RemovableAdmin):
    list_display = ["name", "status_label", "flag", "primary_metric", "traffic", "started", "decision_label"]
    list_filter = ["status"]
    search_fields = ["name", "config__flag__key", "hypothesis"]
    search_help_text = "Search by name, flag or hypothesis"
    empty_template = "experiments/empty.html"

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
                route(f"<path:object_id>/{verb}/", self._on_experiment(_acting(verb), needs_editor=True), verb)
                for verb in _ACTS
            ),
            route("<path:object_id>/complete/", self._on_experiment(_complete, needs_editor=True), "complete"),
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
            return designer.create(self, request)
        return self._on_experiment(_page)(request, object_id)

    def _plan(self, request: HttpRequest) -> HttpResponse:
        environment = console_context(request).environment
        if environment is None or not self.has_add_permission(request):
            raise PermissionDenied
        return plan.fragment(self, request, environment)

    def _simulate(self, request: HttpRequest) -> HttpResponse:
        """Reads nobody's data, so whoever may see experiments may ask."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return simulation.page(self, request)

    def _jobs(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return jobs.page(self, request)

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
            return view(self, request, experiment, **given)

        return run


def _page(model_admin: ExperimentAdmin, request: HttpRequest, experiment: Experiment) -> HttpResponse:
    may_edit = model_admin.has_edit_permission(request, experiment)
    acts = {
        Experiment.Status.DRAFT: ["edit", "start"],
        Experiment.Status.RUNNING: ["edit", "pause", "restart", "complete"],
        Experiment.Status.PAUSED: ["edit", "resume", "restart", "complete"],
        Experiment.Status.COMPLETED: ["edit"],
    }.get(Experiment.Status(experiment.status), [])
    return model_admin.page(
        request,
        "experiments/experiment.html",
        title=experiment.name,
        experiment=experiment,
        split=[(key, percent_of(weight)) for key, weight in _split(experiment).items()],
        traffic=percent_of(experiment.traffic_bp),
        acts=acts if may_edit else [],
        preflight=check_before_start(experiment) if experiment.status == Experiment.Status.DRAFT else None,
        remove_url=model_admin.remove_url(request, experiment) if experiment.status == Experiment.Status.DRAFT else "",
        stored=stored_results(experiment)[:20],
        capping=editing.capping(experiment),
        locked=editing.locked(experiment) if experiment.status != Experiment.Status.DRAFT else None,
    )


def _split(experiment: Experiment) -> dict[str, int]:
    phases = list(experiment.phases.all())
    if phases:
        return dict(phases[-1].weights)
    weights = {variant["key"]: 0 for variant in experiment.config.flag.variants}
    for start, end, variant in experiment.config.allocation:
        weights[variant] += end - start
    return weights


def _acting(verb: str) -> View:
    label, intro, act = _ACTS[verb]

    def run(model_admin: ExperimentAdmin, request: HttpRequest, experiment: Experiment) -> HttpResponse:
        problems: list[str] = []
        if request.method == "POST":
            try:
                act(
                    actor=console_context(request).actor,
                    environment=experiment.environment,
                    pk=experiment.pk,
                    reason=request.POST.get("reason", "").strip(),
                )
            except ServiceError as error:
                problems = [problem.detail for problem in error.problems]
            else:
                messages.success(request, f"{experiment.name} is {_DONE[verb]}.")
                return redirect("admin:experiments_experiment_change", experiment.pk)
        return model_admin.page(
            request,
            "experiments/act.html",
            title=f"{label} {experiment.name}?",
            experiment=experiment,
            intro=intro,
            submit=label,
            problems=problems,
            status=409 if problems else 200,
            preflight=check_before_start(experiment) if verb == "start" else None,
        )

    return run


def _complete(model_admin: ExperimentAdmin, request: HttpRequest, experiment: Experiment) -> HttpResponse:
    """The decision: ship a variant to everybody, or go back to the control."""
    problems: list[str] = []
    choice = request.POST.get("choice", "")
    if request.method == "POST":
        decision, _, variant = choice.partition(":")
        try:
            services.complete_experiment(
                actor=console_context(request).actor,
                environment=experiment.environment,
                pk=experiment.pk,
                decision=decision,
                variant=variant or None,
                reason=request.POST.get("reason", "").strip(),
            )
        except ServiceError as error:
            problems = [problem.detail for problem in error.problems]
        else:
            messages.success(request, f"{experiment.name} is completed.")
            return redirect("admin:experiments_experiment_results", experiment.pk)
    return model_admin.page(
        request,
        "experiments/complete.html",
        title=f"Complete {experiment.name}",
        experiment=experiment,
        choice=choice,
        problems=problems,
        status=409 if problems else 200,
        treatments=[
            item["key"] for item in experiment.config.flag.variants if item["key"] != experiment.control_variant
        ],
        **results.recommended(experiment),
    )


def _experiments_of(request: HttpRequest, config: FlagConfig) -> dict[str, Any] | None:
    rows = list(Experiment.objects.filter(config=config).order_by("-pk")[:10])
    may_create = console_context(request).may(Role.EDITOR, config.environment) and not config.flag.is_archived
    return {"experiments": rows, "may_create": may_create} if rows or may_create else None


register_panel(Panel("experiments/panel.html", _experiments_of))
