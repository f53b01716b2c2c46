"""Metrics: what is measured per user, out of which events."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from unfold.decorators import display
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from audit.actors import Actor
from audit.models import Entry
from experiments import services
from experiments.analysis.arrivals import missing_events
from experiments.analysis.metric_types import CHOICES, METRIC_TYPES, metric_type
from experiments.analysis.metric_types.fields import TYPE_FIELDS
from experiments.definitions import metric_resource
from experiments.models import Metric
from experiments.selectors import experiments_by, experiments_with_older
from tenancy import access
from tenancy.console_kit.admin import EmptyList
from tenancy.console_kit.conflicts import merge
from tenancy.console_kit.context import console_context
from tenancy.console_kit.environments import EnvironmentList, PerEnvironmentAdmin
from tenancy.console_kit.forms import form_page, sent_data
from tenancy.console_kit.pages import list_url
from tenancy.console_kit.removal import Removal
from tenancy.models import Environment
from tenancy.roles import Role


class MetricForm(forms.Form):
    """The fields have the API's names, and the service checks what they mean."""

    key = forms.CharField(
        max_length=100,
        widget=UnfoldAdminTextInputWidget,
        help_text="For scripts and the API, for example purchase-rate. It never changes.",
    )
    name = forms.CharField(
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="As result pages call it; empty is the key.",
    )
    type = forms.ChoiceField(label="Measures", choices=CHOICES, widget=UnfoldAdminSelectWidget)
    eventName = forms.CharField(
        label="Event",
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text="Its name as services send it, for example purchase.",
    )
    goal = forms.ChoiceField(
        label="Goal",
        choices=[(Metric.Goal.INCREASE, "more of it"), (Metric.Goal.DECREASE, "less of it")],
        widget=UnfoldAdminSelectWidget,
    )
    valueProperty = forms.CharField(
        label="Value",
        max_length=200,
        required=False,
        empty_value=None,
        widget=UnfoldAdminTextInputWidget,
        help_text="The event's property that is its value, such as total; empty is the value it was sent with.",
    )
    denominatorEventName = forms.CharField(
        label="Denominator event",
        max_length=200,
        required=False,
        empty_value=None,
        widget=UnfoldAdminTextInputWidget,
        help_text="For a ratio only.",
    )
    quantile = forms.FloatField(
        required=False,
        widget=UnfoldAdminDecimalFieldWidget,
        help_text="For a quantile only: 0.95 is the 95th percentile.",
    )
    windowHours = forms.IntegerField(
        label="Counts for (hours)",
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="How long after a user's first exposure an event counts; empty is 7 days.",
    )
    cap = forms.FloatField(
        label="At most, per user",
        required=False,
        widget=UnfoldAdminDecimalFieldWidget,
        help_text="A user's total above it is left out, so that one order cannot decide; empty is no limit.",
    )
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        for field in TYPE_FIELDS:
            types = [key for key, each in METRIC_TYPES.items() if field in each.fields]
            self.fields[field.name].widget.attrs |= {"data-chosen-by": "type", "data-choices": " ".join(types)}

    def payload(self) -> dict[str, Any]:
        return {name: value for name, value in self.cleaned_data.items() if name != "version"}


def create(request: HttpRequest, viewed: Environment) -> HttpResponse:
    """Create a metric in the project of the environment in view."""
    environment = _editable_in(request, viewed.project_id)
    if environment is None:
        raise PermissionDenied
    form = MetricForm(sent_data(request), initial={"goal": Metric.Goal.INCREASE})

    def perform(sent: dict[str, Any]) -> HttpResponse:
        actor = console_context(request).actor
        services.create_metric(actor=actor, environment=environment, payload=form.payload())
        messages.success(request, f"{sent['key']} is there; experiments can use it.")
        return redirect(metrics_url)

    metrics_url = list_url(Metric, environment=viewed)
    title = f"New metric in {environment.project}"
    return form_page(request, form, perform, title=title, submit="Create metric", cancel_url=metrics_url)


def edit(request: HttpRequest, metric: Metric) -> HttpResponse:
    environment = _editable_in(request, metric.project_id)
    metrics_url = list_url(Metric, environment=console_context(request).bound)
    if request.method == "POST" and environment is None:
        raise PermissionDenied
    form = _form_of(metric_resource(metric), sent_data(request))
    for field in form.fields.values():
        field.disabled = field.disabled or environment is None

    def perform(sent: dict[str, Any]) -> HttpResponse:
        if environment is None:
            raise PermissionDenied
        saved = services.update_metric(
            actor=console_context(request).actor,
            environment=environment,
            key=metric.key,
            payload=form.payload(),
            version=sent["version"],
        )
        messages.success(request, f"Saved. {_older_definition(request, saved)}".strip())
        return redirect(metrics_url)

    def merged(sent: dict[str, Any]) -> tuple[forms.Form, dict[str, Any]]:
        entries = Entry.objects.filter(
            organization_id=metric.project.organization_id,
            entity_type="metric",
            entity_key=metric.key,
            project=metric.project.key,
        )
        metric.refresh_from_db()
        resource, notice = merge(entries, form.payload(), metric_resource(metric), version=sent["version"])
        return _form_of(resource), notice

    return form_page(
        request,
        form,
        perform,
        merge=merged,
        title=metric.name,
        submit="Save",
        cancel_url=metrics_url,
        is_readonly=environment is None,
        remove_url=_REMOVAL.url(request, metric),
        intro=" ".join(
            filter(None, [_users_of(request, metric), _older_definition(request, metric), _arrivals(request, metric)])
        ),
    )


def _users_of(request: HttpRequest, metric: Metric) -> str:
    """Which experiments count by it, of those that this person sees."""
    mine = {row.pk for row in console_context(request).environments}
    names = sorted({row.name for row in experiments_by(metric) if row.environment_id in mine})
    return f"Used by: {', '.join(names)}." if names else "No experiment uses it."


def _older_definition(request: HttpRequest, metric: Metric) -> str:
    """Which running experiments count by an older definition; empty where none does."""
    found = experiments_with_older(metric, console_context(request).environments)
    if not found:
        return ""
    names = ", ".join(item["name"] for item in found)
    return f"Running with the older definition, which their phases keep: {names}. A restart takes the new one."


def _arrivals(request: HttpRequest, metric: Metric) -> str:
    """Say so where none of the metric's events has arrived in any environment that this person sees."""
    rows = [row for row in console_context(request).environments if row.project_id == metric.project_id]
    missing = [set(missing_events(row.pk, [metric])) for row in rows]
    return " ".join(sorted(set.intersection(*missing))) if missing else ""


def _form_of(resource: Mapping[str, Any], data: QueryDict | None = None) -> MetricForm:
    form = MetricForm(data, initial=dict(resource))
    form.fields["key"].disabled = True
    return form


def _editable_in(request: HttpRequest, project_id: int) -> Environment | None:
    """An environment of the project that this person may edit: a metric is the same in all of them."""
    context = console_context(request)
    rows = (row for row in context.environments if row.project_id == project_id)
    return next((row for row in rows if context.may(Role.EDITOR, row)), None)


def _may_delete(request: HttpRequest, metric: Metric) -> bool:
    return _editable_in(request, metric.project_id) is not None


def _consequence(metric: Metric) -> str:
    return f"Its events stay; experiments of {metric.project} can no longer count by it. It cannot be brought back."


def _delete(actor: Actor, metric: Metric, reason: str) -> None:
    # The metric is the project's, so any of its environments leads to it.
    environment = Environment.objects.filter(project=metric.project_id).select_related("project").first()
    if environment is None:
        raise PermissionDenied
    services.delete_metric(actor=actor, environment=environment, key=metric.key, reason=reason)


_REMOVAL: Removal[Metric] = Removal(_may_delete, _consequence, _delete)


class MetricList(EnvironmentList):
    """Shows the metrics of the project whose environment `?environment=` names."""

    def narrowed(self, found: QuerySet[Metric], environment: Environment | None) -> QuerySet[Metric]:
        return found.filter(project=environment.project_id) if environment else found.none()


@admin.register(Metric)
class MetricAdmin(PerEnvironmentAdmin):
    """Metrics belong to a project; whoever edits in one of its environments may add them."""

    list_display = ["name", "key", "type_label", "event_name", "goal_label"]
    list_select_related = ["project"]
    search_fields = ["key", "name", "event_name"]
    search_help_text = "Search by key, name or event"
    empty = EmptyList(
        "No metrics yet",
        "A metric says what is counted for each user, out of which events, such as the share of users who purchase. "
        "Experiments are decided by one, and guarded by others.",
        "Create the first metric",
    )
    removal = _REMOVAL

    def get_queryset(self, request: HttpRequest) -> QuerySet[Metric]:
        projects = access.projects(console_context(request).principal)
        return Metric.objects.filter(project__in=projects).select_related("project").order_by("project", "key")

    @display(description="Measures")
    def type_label(self, metric: Metric) -> str:
        return metric_type(metric).label

    @display(description="Goal", label={"increase": "success", "decrease": "info"})
    def goal_label(self, metric: Metric) -> tuple[str, str]:
        return metric.goal, "more" if metric.goal == Metric.Goal.INCREASE else "less"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[MetricList]:  # noqa: ARG002 - Django's signature
        return MetricList

    def find(self, request: HttpRequest, object_id: str) -> Any:
        """Bind the environment of its project that the form or the address names, else the one viewed last."""
        metric = super().find(request, object_id)
        context = console_context(request)
        mine = [row for row in context.environments if row.project_id == metric.project_id]
        if mine:
            named = request.POST.get("environment") or request.GET.get("environment")
            found = next((row for row in mine if str(row.pk) == named), None)
            context.bind(found or (context.environment if context.environment in mine else mine[0]))
        return metric

    def has_add_permission(self, request: HttpRequest) -> bool:
        environment = console_context(request).environment
        return environment is not None and _editable_in(request, environment.project_id) is not None

    def create_in(self, request: HttpRequest, environment: Environment) -> HttpResponse:
        return create(request, environment)

    def show(self, request: HttpRequest, thing: Metric) -> HttpResponse:
        return edit(request, thing)
