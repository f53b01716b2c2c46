"""The list of segments, and the routes to each one's pages."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.decorators import display

from flags.admin.segments import pages
from flags.models import Segment
from tenancy.console_kit.admin import EmptyList
from tenancy.console_kit.environments import PerEnvironmentAdmin, environment_ids
from tenancy.console_kit.routes import About, Route
from tenancy.models import Environment


@admin.register(Segment)
class SegmentAdmin(PerEnvironmentAdmin):
    list_display = ["name", "key", "included_count", "excluded_count", "has_conditions"]
    search_fields = ["key", "name"]
    empty = EmptyList(
        "No segments here yet",
        "A segment is an audience with a name, such as beta testers, that many rules can ask for.",
        "Create the first segment",
    )
    routes = (Route("preview/", "preview", pages.preview, About.ENVIRONMENT),)
    removal = pages.REMOVAL

    def get_queryset(self, request: HttpRequest) -> QuerySet[Segment]:
        found = Segment.objects.filter(environment__in=environment_ids(request))
        return found.select_related("environment__project__organization")

    def create_in(self, request: HttpRequest, environment: Environment) -> HttpResponse:
        return pages.create(request, environment)

    def show(self, request: HttpRequest, thing: Segment) -> HttpResponse:
        return pages.edit(request, thing)

    @display(description="Always in")
    def included_count(self, segment: Segment) -> int:
        return len(segment.included)

    @display(description="Never in")
    def excluded_count(self, segment: Segment) -> int:
        return len(segment.excluded)

    @display(description="Conditions", boolean=True)
    def has_conditions(self, segment: Segment) -> bool:
        return bool(segment.conditions)
