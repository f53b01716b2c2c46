"""The pages of layers: which experiments exclude each other, and which share of users each one has."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.widgets import UnfoldAdminTextInputWidget

from audit.models import Entry
from flags import services
from flags.documents import layer_resource, percent_of
from flags.models import FlagConfig, Layer
from tenancy.console_kit import conflicts
from tenancy.console_kit.context import console_context
from tenancy.console_kit.environments import may_edit
from tenancy.console_kit.forms import form_page, sent_data
from tenancy.console_kit.pages import console_page, list_url, object_url
from tenancy.console_kit.removal import Removal
from tenancy.models import Environment


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


class LayerChangeForm(forms.Form):
    name = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget)
    holdout = forms.FloatField(min_value=0, max_value=100, widget=UnfoldAdminTextInputWidget)
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)
    # The holdout that the person confirmed after reading its consequence.
    confirmed = forms.FloatField(required=False, widget=forms.HiddenInput)


def create(request: HttpRequest, environment: Environment) -> HttpResponse:
    def perform(sent: dict[str, Any]) -> HttpResponse:
        payload = {"key": sent["key"], "name": sent["name"] or sent["key"], "holdoutPercent": sent["holdout"] or 0}
        services.create_layer(actor=console_context(request).actor, environment=environment, payload=payload)
        messages.success(request, f"{sent['key']} is there; experiments can be put into it.")
        return redirect(list_url(Layer, environment=environment))

    return form_page(
        request,
        LayerForm(sent_data(request)),
        perform,
        title=f"New layer in {environment}",
        submit="Create layer",
        serves=environment,
        cancel_url=list_url(Layer, environment=environment),
    )


def show(request: HttpRequest, layer: Layer) -> HttpResponse:
    """Show which experiment has which buckets, and which buckets are free."""
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
    return console_page(
        request,
        "flags/layer.html",
        title=layer.name,
        layer=layer,
        parts=parts,
        list_url=list_url(layer),
        may_edit=may_edit(request, layer),
        remove_url=REMOVAL.url(request, layer),
    )


def edit(request: HttpRequest, layer: Layer) -> HttpResponse:
    """Edit the name and the holdout. A changed holdout is saved once the person has confirmed its consequence."""
    most = _most_to_hold_out(layer)
    before = percent_of(layer.holdout_buckets)
    title = f"Change layer {layer.name}"

    def ready(form: forms.Form) -> forms.Form:
        form.fields["holdout"].label = "Held out (%)"
        taken = f", at most {percent_of(most)} now: experiments have the rest, completed ones for 7 days more"
        form.fields[
            "holdout"
        ].help_text = f"Percent of the users that no experiment of the layer may have{taken if most < 10_000 else ''}."
        return form

    def perform(sent: dict[str, Any]) -> HttpResponse:
        wanted = round(sent["holdout"] * 100)
        is_shown = sent["confirmed"] is not None and round(sent["confirmed"] * 100) == wanted
        is_fresh = sent["version"] in {None, layer.version}
        if wanted != layer.holdout_buckets and wanted <= most and is_fresh and not is_shown:
            shown = {**sent, "confirmed": sent["holdout"]}
            return console_page(
                request,
                "console/form.html",
                title=title,
                form=ready(LayerChangeForm(initial=shown)),
                submit=f"Hold out {percent_of(wanted)} %",
                intro=f"{_consequence_of(layer.holdout_buckets, wanted)}{_running_in(layer)}",
                is_dangerous=wanted < layer.holdout_buckets,
                cancel_url=object_url(layer),
                serves=layer.environment,
            )
        services.update_layer(
            actor=console_context(request).actor,
            environment=layer.environment,
            key=layer.key,
            payload=_payload(sent),
            version=sent["version"],
        )
        messages.success(request, "Saved.")
        return redirect(object_url(layer))

    def merge(sent: dict[str, Any]) -> tuple[forms.Form, dict[str, Any]]:
        entries = Entry.objects.filter(
            organization_id=layer.environment.project.organization_id,
            entity_type="layer",
            entity_key=layer.key,
            project=layer.environment.project.key,
            environment=layer.environment.key,
        )
        merged, notice = conflicts.merge(entries, _payload(sent), layer_resource(layer), version=sent["version"])
        return ready(LayerChangeForm(initial={**merged, "holdout": merged["holdoutPercent"]})), notice

    first = {"name": layer.name, "holdout": before, "version": layer.version}
    return form_page(
        request,
        ready(LayerChangeForm(sent_data(request), initial=first)),
        perform,
        merge=merge,
        serves=layer.environment,
        title=title,
        submit="Save",
        names={"holdoutPercent": "holdout"},
        cancel_url=object_url(layer),
    )


def _consequence_of_removal(layer: Layer) -> str:
    if layer.slots.all():
        return "It cannot go yet: experiments have a share of it. Complete them first."
    return f"No experiment in {layer.environment} has a share of it. It cannot be brought back."


REMOVAL: Removal[Layer] = Removal(
    may=may_edit,
    consequence=_consequence_of_removal,
    delete=lambda actor, layer, reason: services.delete_layer(
        actor=actor, environment=layer.environment, key=layer.key, reason=reason
    ),
    is_served=True,
)


def _most_to_hold_out(layer: Layer) -> int:
    """Return the buckets above all those that experiments have, or had a while ago."""
    return 10_000 - max((slot.buckets.upper for slot in layer.slots.all() if slot.experiment_id), default=0)


def _payload(sent: dict[str, Any]) -> dict[str, Any]:
    return {"name": sent["name"], "holdoutPercent": sent["holdout"]}


def _running_in(layer: Layer) -> str:
    """Name the flags whose experiments run in the layer: their users stay with them."""
    ids = [str(slot.experiment_id) for slot in layer.slots.all() if slot.experiment_id]
    rows = FlagConfig.objects.filter(environment=layer.environment_id, experiment__id__in=ids)
    keys = list(rows.order_by("flag__key").values_list("flag__key", flat=True))
    return f" Experiments run in it on {', '.join(keys)}: their users stay with them." if keys else ""


def _consequence_of(before: int, after: int) -> str:
    share = percent_of(abs(after - before))
    if after > before:
        return (
            f"{share} % of the users are held out as well: nobody of them is in an experiment of this layer now, and "
            f"nobody will be. Later experiments have up to {percent_of(10_000 - after)} % of the users between them."
        )
    return (
        f"{share} % of the users are held out no more: the next experiments of this layer may take them in. Whoever "
        "compares those held out with all others compares with a smaller group from then on; raising it again brings "
        "back only whom no experiment has taken."
    )
