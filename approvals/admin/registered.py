"""The console's lists of change requests and freezes, with the routes to their pages."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.decorators import display

from approvals.admin import acts, freezes, policies, requests
from approvals.admin.filters import AuthorFilter, ForMeFilter, RequestList, TouchingFilter
from approvals.models import ChangeRequest, Freeze
from approvals.rules.publishing import counted
from approvals.services.standing import asks_of, standing_of
from tenancy.console_kit.admin import ConsoleAdmin, EmptyList
from tenancy.console_kit.context import console_context
from tenancy.console_kit.environments import PerEnvironmentAdmin
from tenancy.console_kit.formats import moment
from tenancy.console_kit.routes import About, Route
from tenancy.roles import Role


@admin.register(ChangeRequest)
class ChangeRequestAdmin(PerEnvironmentAdmin):
    list_display = ["title", "state_label", "author_label", "approvals", "when"]
    list_filter = ["state", ForMeFilter, AuthorFilter, TouchingFilter, "is_review_owed"]
    search_fields = ["title", "author_label"]
    search_help_text = "Search by title or author"
    list_before_template = "approvals/list_head.html"
    empty = EmptyList(
        "No change requests here yet",
        "Where an environment asks for approvals, a change waits here for its reviews. Ask for approval on the page of "
        "a flag or a segment.",
    )
    routes = (
        Route("policy/", "policy", policies.page, About.ENVIRONMENT, Role.ADMIN),
        Route("<path:object_id>/review/", "review", requests.review),
        Route("<path:object_id>/edit/", "edit", requests.edit, role=Role.EDITOR),
        Route("<path:object_id>/publish/", "publish", acts.publish, role=Role.EDITOR),
        Route("<path:object_id>/emergency/", "emergency", acts.hurry, role=Role.EDITOR),
        Route("<path:object_id>/cancel/", "cancel", acts.cancel, role=Role.EDITOR),
        Route("<path:object_id>/rebase/", "rebase", acts.rebase, role=Role.EDITOR),
        Route("<path:object_id>/revert/", "revert", acts.revert, role=Role.EDITOR),
    )

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = console_context(request)
        # The environment is bound by the base class; until then it is the one that is viewed.
        shown = {"may_set_policy": context.may(Role.ADMIN, context.environment)}
        return super().changelist_view(request, {**shown, **(extra_context or {})})

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[RequestList]:  # noqa: ARG002 - Django's signature
        return RequestList

    def get_queryset(self, request: HttpRequest) -> QuerySet[ChangeRequest]:
        return requests.visible(request, super().get_queryset(request))

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django's signature
        # A request is made where something is changed.
        return False

    @display(
        description="State",
        ordering="state",
        label={
            "draft": "default", "open": "warning", "published": "success", "cancelled": "default", "owed": "danger",
        },
    )  # fmt: skip
    def state_label(self, thing: ChangeRequest) -> tuple[str, str]:
        return ("owed", "Published, review owed") if thing.is_review_owed else (thing.state, thing.get_state_display())

    @display(description="Approvals")
    def approvals(self, thing: ChangeRequest) -> str:
        asks = asks_of(thing)
        if not asks:
            return "none asked"
        standing = standing_of(thing, asks, getattr(thing, "say", None))  # The list adds it.
        given = [
            f"{len(counted(ask, standing, thing.content))} of {ask.approvals} in {ask.environment}" for ask in asks
        ]
        return ", ".join(given)

    @display(description="When", ordering="created_at")
    def when(self, thing: ChangeRequest) -> str:
        if thing.published_at:
            return f"published {moment(thing.published_at)}"
        return f"due {moment(thing.publish_at)}" if thing.publish_at else f"proposed {moment(thing.created_at)}"

    def show(self, request: HttpRequest, thing: ChangeRequest) -> HttpResponse:
        return requests.show(request, thing)


@admin.register(Freeze)
class FreezeAdmin(ConsoleAdmin):
    list_display = ["name", "state", "place", "window", "created_by"]
    list_select_related = ["organization", "project", "environment__project"]
    search_fields = ["name", "reason"]
    search_help_text = "Search by name or reason"
    empty = EmptyList(
        "No freezes yet",
        "In a freeze nothing is published, as on a weekend or before a holiday. A kill is never frozen.",
        "Make the first one",
    )
    removal = freezes.REMOVAL

    def get_queryset(self, request: HttpRequest) -> QuerySet[Freeze]:
        context = console_context(request)
        projects = {environment.project_id for environment in context.environments}
        reach = Q(project__isnull=True) | Q(environment__isnull=True, project__in=projects)
        reach |= Q(environment__in=[environment.pk for environment in context.environments])
        return super().get_queryset(request).filter(reach, organization__in=context.organizations)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(freezes.places(request))

    @display(description="State", label={"holds now": "danger", "waits": "info", "is over": "default"})
    def state(self, freeze: Freeze) -> str:
        return freezes.state_of(freeze)

    @display(description="Where")
    def place(self, freeze: Freeze) -> str:
        return str(freeze.environment or freeze.project or freeze.organization)

    @display(description="When")
    def window(self, freeze: Freeze) -> str:
        return freezes.window_in_words(freeze)

    def create(self, request: HttpRequest) -> HttpResponse:
        return freezes.create(request)

    def show(self, request: HttpRequest, thing: Freeze) -> HttpResponse:
        return freezes.edit(request, thing)
