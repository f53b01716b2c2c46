"""Layers: which experiments must never meet, and which of them has which share of users."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from flags import services
from flags.admin.environments import PerEnvironmentAdmin
from flags.documents import layer_resource, percent_of
from flags.models import FlagConfig, Layer
from tenancy.admin import RemovableAdmin, sent_data, visit


class LayerForm(forms.Form):
    key = forms.CharField(max_length=100, widget=UnfoldAdminTextInputWidget, help_text="It never changes.")
    name = forms.CharField(max_length=200, required=False, widget=UnfoldAdminTextInputWidget)
    holdout = forms.FloatField(
        min_value=0,
        max_value=100,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Percent of the users that no experiment of the layer may have; empty is none.",
    )


@admin.register(Layer)
class LayerAdmin(PerEnvironmentAdmin, RemovableAdmin):
    list_display = ["name", "key", "taken"]
    search_fields = ["key", "name"]
    empty_template = "flags/empty_layers.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Layer]:
        environments = [environment.pk for environment in visit(request).environments]
        found = Layer.objects.filter(environment__in=environments)
        return found.select_related("environment__project__organization").prefetch_related("slots")

    @display(description="Taken")
    def taken(self, layer: Layer) -> str:
        taken = sum(slot.buckets.upper - slot.buckets.lower for slot in layer.slots.all() if slot.experiment_id)
        held_out = f", {percent_of(layer.holdout_buckets)} % held out" if layer.holdout_buckets else ""
        return f"{percent_of(taken)} %{held_out}"

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
            payload = {
                "key": sent["key"],
                "name": sent["name"] or sent["key"],
                "holdoutPercent": sent["holdout"] or 0,
            }
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
        parts, end, free_until = [], 0, 10_000 - layer.holdout_buckets
        ids = sorted({slot["id"] for slot in slots})
        on_flags = FlagConfig.objects.filter(environment=layer.environment_id, experiment__id__in=ids)
        flags = {row.experiment["id"]: row.flag.key for row in on_flags.select_related("flag") if row.experiment}
        for slot in slots:
            if slot["start"] > end:
                parts.append({"id": "", "share": (slot["start"] - end) / 10_000})
            share = (slot["end"] - slot["start"]) / 10_000
            name = f"on {flags[slot['id']]}" if slot["id"] in flags else slot["id"]
            parts.append({"id": slot["id"], "name": name, "share": share, "series": ids.index(slot["id"]) % 6})
            end = slot["end"]
        if end < free_until:
            parts.append({"id": "", "share": (free_until - end) / 10_000})
        if layer.holdout_buckets:
            parts.append({"id": "", "share": layer.holdout_buckets / 10_000, "is_held_out": True})
        return self.page(
            request,
            "flags/layer.html",
            title=layer.name,
            layer=layer,
            parts=parts,
            list_url=self.list_url(),
            remove_url=self.remove_url(request, layer),
        )

    def may_remove(self, request: HttpRequest, thing: Layer) -> bool:
        return self.has_edit_permission(request, thing)

    def consequence(self, thing: Layer) -> str:
        if thing.slots.all():
            return "It cannot go yet: experiments have a share of it. Complete them first."
        return f"No experiment in {thing.environment} has a share of it. It cannot be brought back."

    def remove_thing(self, request: HttpRequest, thing: Layer, reason: str) -> None:
        services.delete_layer(actor=visit(request).actor, environment=thing.environment, key=thing.key, reason=reason)
