"""Metrics: what is measured per user, out of which events."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from unfold.decorators import display
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from audit.models import Entry
from experiments import services
from experiments.analysis.metric_types import CHOICES, metric_type
from experiments.documents import metric_resource
from experiments.models import Metric
from tenancy import access
from tenancy.console_kit import conflicts
from tenancy.console_kit.admin import ConsoleAdmin, EmptyList
from tenancy.console_kit.context import console_context
from tenancy.console_kit.forms import sent_data
from tenancy.console_kit.removal import RemovableAdmin
from tenancy.models import Environment
from tenancy.roles import Role

_NAMES = {
    "eventName": "event_name",
    "denominatorEventName": "denominator_event_name",
    "valueProperty": "value_property",
    "windowHours": "window_hours",
}


class MetricForm(forms.Form):
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
    event_name = forms.CharField(
        label="Event",
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text="Its name as services send it, for example purchase.",
    )
    goal = forms.ChoiceField(
        label="Better is",
        choices=[(Metric.Goal.INCREASE, "more of it"), (Metric.Goal.DECREASE, "less of it")],
        widget=UnfoldAdminSelectWidget,
    )
    value_property = forms.CharField(
        label="Value",
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="The event's property that is its value, such as total; empty is the value it was sent with.",
    )
    denominator_event_name = forms.CharField(
        label="Divided by the event",
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="For a ratio only.",
    )
    quantile = forms.FloatField(
        required=False,
        widget=UnfoldAdminDecimalFieldWidget,
        help_text="For a quantile only: 0.95 is the 95th percentile.",
    )
    window_hours = forms.IntegerField(
        label="Counts for (hours)",
        required=False,
        min_value=1,
        widget=UnfoldAdminTextInputWidget,
        help_text="How long after a user's first exposure an event counts; empty is 7 days.",
    )
    cap = forms.FloatField(
        label="At most, per user",
        required=False,
        widget=UnfoldAdminDecimalFieldWidget,
        help_text="What a user's total is above it is left out, so that one order cannot decide; empty is no limit.",
    )
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def payload(self) -> dict[str, Any]:
        sent = self.cleaned_data
        return {
            "name": sent["name"] or sent["key"],
            "type": sent["type"],
            "eventName": sent["event_name"],
            "goal": sent["goal"],
            "windowHours": sent["window_hours"],
            "cap": sent["cap"],
            "denominatorEventName": sent["denominator_event_name"] or None,
            "valueProperty": sent["value_property"] or None,
            "quantile": sent["quantile"],
        }


def _form_of(resource: Mapping[str, Any], data: QueryDict | None = None) -> MetricForm:
    form = MetricForm(data, initial={**resource, **{field: resource.get(name) for name, field in _NAMES.items()}})
    form.fields["key"].disabled = True
    return form


@admin.register(Metric)
class MetricAdmin(RemovableAdmin, ConsoleAdmin):
    """Metrics belong to a project; whoever edits in one of its environments may add them."""

    list_display = ["name", "key", "type_label", "event_name", "goal_label", "project"]
    list_select_related = ["project"]
    search_fields = ["key", "name", "event_name"]
    search_help_text = "Search by key, name or event"
    empty = EmptyList(
        "No metrics yet",
        "A metric says what is counted for each user, out of which events, such as the share of users who purchase. "
        "Experiments are decided by one, and guarded by others.",
        "Create the first metric",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Metric]:
        projects = access.projects(console_context(request).principal)
        return Metric.objects.filter(project__in=projects).select_related("project").order_by("project", "key")

    @display(description="Measures")
    def type_label(self, metric: Metric) -> str:
        return metric_type(metric).label

    @display(description="Better is", label={"increase": "success", "decrease": "info"})
    def goal_label(self, metric: Metric) -> tuple[str, str]:
        return metric.goal, "more" if metric.goal == Metric.Goal.INCREASE else "less"

    def _environment(self, request: HttpRequest, metric: Metric | None = None) -> Environment | None:
        """Where the change is made from: an environment of the metric's project that this person may edit."""
        looking = console_context(request)
        here = [looking.environment, *looking.environments] if metric is None else looking.environments
        for environment in here:
            is_of_project = metric is None or (environment and environment.project_id == metric.project_id)
            if environment is not None and is_of_project and looking.may(Role.EDITOR, environment):
                return environment
        return None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._environment(request) is not None

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",  # noqa: ARG002 - Django's signature
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002 - likewise
    ) -> HttpResponse:
        return self._create(request) if object_id is None else self._edit(request, object_id)

    def _create(self, request: HttpRequest) -> HttpResponse:
        environment = self._environment(request)
        if environment is None:
            raise PermissionDenied
        form = MetricForm(sent_data(request), initial={"goal": Metric.Goal.INCREASE})

        def perform(sent: dict[str, Any]) -> HttpResponse:
            services.create_metric(
                actor=console_context(request).actor,
                environment=environment,
                payload={**form.payload(), "key": sent["key"]},
            )
            messages.success(request, f"{sent['key']} is there; experiments can use it.")
            return redirect(self.list_url())

        title = f"New metric in {environment.project}"
        return self.form_page(request, form, perform, title=title, submit="Create metric", names=_NAMES)

    def _edit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        metric: Metric | None = self.get_object(request, object_id)
        if metric is None:
            raise Http404("There is no such metric, or it belongs to another tenant.")
        environment = self._environment(request, metric)
        if request.method == "POST" and environment is None:
            raise PermissionDenied
        form = _form_of(metric_resource(metric), sent_data(request))
        for field in form.fields.values():
            field.disabled = field.disabled or environment is None

        def perform(sent: dict[str, Any]) -> HttpResponse:
            if environment is None:
                raise PermissionDenied
            services.update_metric(
                actor=console_context(request).actor,
                environment=environment,
                key=metric.key,
                payload=form.payload(),
                version=sent["version"],
            )
            messages.success(request, "Saved.")
            return redirect(self.list_url())

        def merge(sent: dict[str, Any]) -> tuple[forms.Form, dict[str, Any]]:
            entries = Entry.objects.filter(
                organization_id=metric.project.organization_id,
                entity_type="metric",
                entity_key=metric.key,
                project=metric.project.key,
            )
            metric.refresh_from_db()
            merged, notice = conflicts.merge(entries, form.payload(), metric_resource(metric), version=sent["version"])
            return _form_of(merged), notice

        return self.form_page(
            request,
            form,
            perform,
            merge=merge,
            title=metric.name,
            submit="Save",
            names=_NAMES,
            is_readonly=environment is None,
            remove_url=self.remove_url(request, metric),
        )

    def may_remove(self, request: HttpRequest, thing: Metric) -> bool:
        return self._environment(request, thing) is not None

    def consequence(self, thing: Metric) -> str:
        return f"Its events stay; experiments of {thing.project} can no longer count by it. It cannot be brought back."

    def remove_thing(self, request: HttpRequest, thing: Metric, reason: str) -> None:
        environment = self._environment(request, thing)
        if environment is None:
            raise PermissionDenied
        services.delete_metric(
            actor=console_context(request).actor, environment=environment, key=thing.key, reason=reason
        )
