"""Segments and layers: who belongs together, and which experiments must never meet."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from flags import services
from flags.admin.environments import PerEnvironmentAdmin
from flags.documents import layer_resource, percent_of
from flags.models import Layer, Segment
from flags.selectors import segment_users
from tenancy.admin import sent_data, visit

_EXAMPLE = '{"all": [{"attribute": "plan", "operator": "in", "value": ["pro", "team"]}]}'


class SegmentForm(forms.Form):
    key = forms.CharField(
        max_length=100, widget=UnfoldAdminTextInputWidget, help_text="Rules refer to it; it never changes."
    )
    name = forms.CharField(max_length=200, required=False, widget=UnfoldAdminTextInputWidget)
    included = forms.CharField(
        required=False,
        label="Always in",
        widget=UnfoldAdminTextareaWidget,
        help_text="One user id on each line.",
    )
    excluded = forms.CharField(
        required=False,
        label="Never in",
        widget=UnfoldAdminTextareaWidget,
        help_text="One user id on each line; wins over all else.",
    )
    conditions = forms.JSONField(
        required=False,
        widget=UnfoldAdminTextareaWidget,
        help_text=f"Groups all, any and not over conditions: {_EXAMPLE}",
    )
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def payload(self) -> dict[str, Any]:
        sent = self.cleaned_data
        return {
            "name": sent["name"] or sent["key"],
            "included": [line.strip() for line in sent["included"].splitlines() if line.strip()],
            "excluded": [line.strip() for line in sent["excluded"].splitlines() if line.strip()],
            "conditions": sent["conditions"],
        }


@admin.register(Segment)
class SegmentAdmin(PerEnvironmentAdmin):
    list_display = ["name", "key", "included_count", "excluded_count", "has_conditions"]
    search_fields = ["key", "name"]
    empty_template = "flags/empty_segments.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Segment]:
        environments = [environment.pk for environment in visit(request).environments]
        return Segment.objects.filter(environment__in=environments).select_related("environment__project__organization")

    @display(description="Always in")
    def included_count(self, segment: Segment) -> int:
        return len(segment.included)

    @display(description="Never in")
    def excluded_count(self, segment: Segment) -> int:
        return len(segment.excluded)

    @display(description="Conditions", boolean=True)
    def has_conditions(self, segment: Segment) -> bool:
        return bool(segment.conditions)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",  # noqa: ARG002 - Django's signature
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002 - likewise
    ) -> HttpResponse:
        return self._create(request) if object_id is None else self._edit(request, object_id)

    def _create(self, request: HttpRequest) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        environment = self.environment_of(request)
        form = SegmentForm(sent_data(request))

        def perform(sent: dict[str, Any]) -> HttpResponse:
            services.create_segment(
                actor=visit(request).actor, environment=environment, payload={**form.payload(), "key": sent["key"]}
            )
            messages.success(request, f"{sent['key']} is there; rules can ask for it.")
            return redirect(self.list_url())

        return self.form_page(request, form, perform, title=f"New segment in {environment}", submit="Create segment")

    def _edit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        segment: Segment | None = self.get_object(request, object_id)
        if segment is None:
            raise Http404("There is no such segment, or it belongs to another tenant.")
        may_edit = self.has_edit_permission(request, segment)
        if request.method == "POST" and not may_edit:
            raise PermissionDenied
        shown = {
            "key": segment.key,
            "name": segment.name,
            "included": "\n".join(segment.included),
            "excluded": "\n".join(segment.excluded),
            "conditions": segment.conditions,
            "version": segment.version,
        }
        form = SegmentForm(sent_data(request), initial=shown)
        form.fields["key"].disabled = True
        form.fields["conditions"].widget.attrs["rows"] = 8
        for field in form.fields.values():
            field.disabled = field.disabled or not may_edit

        def perform(sent: dict[str, Any]) -> HttpResponse:
            services.update_segment(
                actor=visit(request).actor,
                environment=segment.environment,
                key=segment.key,
                payload=form.payload(),
                version=sent["version"],
            )
            messages.success(request, "Saved. Every rule that asks for it follows within a second.")
            return redirect(self.list_url())

        users = segment_users(segment)
        intro = f"Used by: {', '.join(users)}." if users else "Nothing uses it yet."
        return self.form_page(
            request, form, perform, title=segment.name, submit="Save", intro=intro, is_readonly=not may_edit
        )


class LayerForm(forms.Form):
    key = forms.CharField(max_length=100, widget=UnfoldAdminTextInputWidget, help_text="It never changes.")
    name = forms.CharField(max_length=200, required=False, widget=UnfoldAdminTextInputWidget)


@admin.register(Layer)
class LayerAdmin(PerEnvironmentAdmin):
    list_display = ["name", "key", "taken"]
    search_fields = ["key", "name"]
    empty_template = "flags/empty_layers.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Layer]:
        environments = [environment.pk for environment in visit(request).environments]
        found = Layer.objects.filter(environment__in=environments)
        return found.select_related("environment__project__organization").prefetch_related("slots")

    @display(description="Taken")
    def taken(self, layer: Layer) -> str:
        return f"{percent_of(sum(slot.buckets.upper - slot.buckets.lower for slot in layer.slots.all()))} %"

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",  # noqa: ARG002 - Django's signature
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002 - likewise
    ) -> HttpResponse:
        if object_id is not None:
            return self._show(request, object_id)
        if not self.has_add_permission(request):
            raise PermissionDenied
        environment = self.environment_of(request)

        def perform(sent: dict[str, Any]) -> HttpResponse:
            payload = {"key": sent["key"], "name": sent["name"] or sent["key"]}
            services.create_layer(actor=visit(request).actor, environment=environment, payload=payload)
            messages.success(request, f"{sent['key']} is there; experiments can be put into it.")
            return redirect(self.list_url())

        form = LayerForm(sent_data(request))
        return self.form_page(request, form, perform, title=f"New layer in {environment}", submit="Create layer")

    def _show(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The occupancy map: which experiment has which buckets, and what is free."""
        layer: Layer | None = self.get_object(request, object_id)
        if layer is None:
            raise Http404("There is no such layer, or it belongs to another tenant.")
        slots = layer_resource(layer)["experiments"]
        parts, end = [], 0
        ids = sorted({slot["id"] for slot in slots})
        for slot in slots:
            if slot["start"] > end:
                parts.append({"id": "", "share": (slot["start"] - end) / 10_000})
            share = (slot["end"] - slot["start"]) / 10_000
            parts.append({"id": slot["id"], "share": share, "series": ids.index(slot["id"]) % 6})
            end = slot["end"]
        if end < 10_000:
            parts.append({"id": "", "share": (10_000 - end) / 10_000})
        return self.page(
            request, "flags/layer.html", title=layer.name, layer=layer, parts=parts, list_url=self.list_url()
        )
