"""The audit log, narrowed to the organizations of whoever looks."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from unfold.decorators import display

from audit.admin import EntryAdmin
from audit.models import Entry
from tenancy import access
from tenancy.console_kit.base import ConsoleList
from tenancy.console_kit.context import console_context
from tenancy.console_kit.instants import InstantRangeFilter
from tenancy.instants import moment


@admin.register(Entry)
class TenantEntryAdmin(EntryAdmin):
    """Members of an organization read its whole log, members of a project or an environment what happened there."""

    list_filter = [*EntryAdmin.list_filter, ("occurred_at", InstantRangeFilter)]

    @staticmethod
    def visible_to(request: HttpRequest) -> QuerySet[Entry]:
        looking = console_context(request)
        seen = Q(organization_id__in=looking.organization_roles)
        for environment in looking.environments:
            project = environment.project
            if project.organization_id not in looking.organization_roles:
                seen |= Q(organization_id=project.organization_id, project=project.key, environment=environment.key)
        for project in access.projects(looking.principal):
            if project.organization_id not in looking.organization_roles:
                seen |= Q(organization_id=project.organization_id, project=project.key)
        return Entry.objects.filter(seen).order_by("-id")

    @display(description="When", ordering="id")
    def when(self, entry: Entry) -> str:
        return moment(entry.occurred_at)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Entry]:
        return self.visible_to(request)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ConsoleList]:  # noqa: ARG002 - Django's signature
        return ConsoleList

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:  # noqa: ARG002 - Django's signature
        raise Http404("An entry never changes.")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(console_context(request).organizations)

    def has_view_permission(self, request: HttpRequest, obj: Entry | None = None) -> bool:  # noqa: ARG002 - Django's signature
        return self.has_module_permission(request)
