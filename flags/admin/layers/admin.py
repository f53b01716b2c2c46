"""The list of layers, and the routes to each one's pages."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.decorators import display

from flags.admin.layers import pages
from flags.documents import percent_of
from flags.models import Layer
from tenancy.console_kit.admin import EmptyList
from tenancy.console_kit.environments import PerEnvironmentAdmin, environment_ids
from tenancy.console_kit.routes import Route
from tenancy.models import Environment
from tenancy.roles import Role


@admin.register(Layer)
class LayerAdmin(PerEnvironmentAdmin):
    list_display = ["name", "key", "taken"]
    search_fields = ["key", "name"]
    empty = EmptyList(
        "No layers here yet",
        "Experiments in one layer never share a user. Put two into a layer when they would disturb each other, such as "
        "two on the same page.",
        "Create the first layer",
    )
    routes = (Route("<path:object_id>/edit/", "edit", pages.edit, role=Role.EDITOR),)
    removal = pages.REMOVAL

    def get_queryset(self, request: HttpRequest) -> QuerySet[Layer]:
        found = Layer.objects.filter(environment__in=environment_ids(request))
        return found.select_related("environment__project__organization").prefetch_related("slots")

    def create_in(self, request: HttpRequest, environment: Environment) -> HttpResponse:
        return pages.create(request, environment)

    def show(self, request: HttpRequest, thing: Layer) -> HttpResponse:
        return pages.show(request, thing)

    @display(description="Taken")
    def taken(self, layer: Layer) -> str:
        taken = sum(slot.buckets.upper - slot.buckets.lower for slot in layer.slots.all() if slot.experiment_id)
        held_out = f", {percent_of(layer.holdout_buckets)} % held out" if layer.holdout_buckets else ""
        return f"{percent_of(taken)} %{held_out}"
