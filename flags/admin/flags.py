"""Flags in the console: the list, and the routes to each flag's pages."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path
from unfold.decorators import display

from flags.admin import archive_many
from flags.admin.flag import affected_users, comparison, exposures, history, page, suggestions, tryout
from flags.admin.killing import kill, kill_many, kill_tag
from flags.admin.list import FlagList, StateFilter, TagFilter, TypeFilter, matching
from flags.documents import percent_of
from flags.models import FlagConfig
from tenancy.console_kit.context import console_context
from tenancy.console_kit.environments import PerEnvironmentAdmin
from tenancy.instants import moment
from tenancy.models import Role

View = Callable[..., HttpResponse]


@admin.register(FlagConfig)
class FlagConfigAdmin(PerEnvironmentAdmin):
    """A flag as one environment sees it."""

    list_display = ["flag_header", "state", "serves", "rule_count", "tags", "updated"]
    list_filter = [StateFilter, TypeFilter, TagFilter]
    search_fields = ["flag__key"]
    search_help_text = "Search by key, name or tag"
    empty_template = "flags/empty.html"
    ordering = ["flag__key"]
    actions = ["kill_selected", "release_selected", "archive_selected"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[FlagConfig]:
        environments = [environment.pk for environment in console_context(request).environments]
        found = FlagConfig.objects.filter(environment__in=environments)
        return found.select_related("flag", "environment__project__organization")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[FlagList]:  # noqa: ARG002 - Django's signature
        return FlagList

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002 - Django's signature
        queryset: QuerySet[FlagConfig],
        search_term: str,
    ) -> tuple[QuerySet[FlagConfig], bool]:
        return matching(queryset, search_term), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(
            request, {"may_kill": self.has_edit_permission(request), **(extra_context or {})}
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A new flag is one of the whole project's, in each of its environments."""
        environment = console_context(request).environment
        return environment is not None and console_context(request).may_in_project(Role.EDITOR, environment.project)

    @display(description="Flag", header=True, ordering="flag__key")
    def flag_header(self, config: FlagConfig) -> tuple[str, str]:
        return config.flag.key, config.flag.name if config.flag.name != config.flag.key else ""

    @display(
        description="State",
        ordering="is_enabled",
        label={"killed": "danger", "archived": "warning", "on": "success", "off": "default"},
    )
    def state(self, config: FlagConfig) -> str:
        if config.flag.is_archived:
            return "archived"
        return "killed" if config.is_killed else "on" if config.is_enabled else "off"

    @display(description="Gives")
    def serves(self, config: FlagConfig) -> str:
        if config.is_killed:
            return f"everybody {config.kill_switch_variant}"
        if not config.is_enabled:
            return f"everybody {config.off_variant}"
        buckets: dict[str, int] = {}
        for start, end, variant in config.allocation:
            buckets[variant] = buckets.get(variant, 0) + end - start
        shares = ", ".join(f"{percent_of(count)} % {variant}" for variant, count in buckets.items())
        prefix = "experiment: " if config.experiment else ""
        return prefix + (shares or f"everybody {config.default_variant}")

    @display(description="Rules")
    def rule_count(self, config: FlagConfig) -> int:
        return getattr(config, "rules_total", 0)  # the list's own annotation

    @display(description="Tags")
    def tags(self, config: FlagConfig) -> str:
        return ", ".join(config.flag.tags) or "-"

    @display(description="Changed", ordering="updated_at")
    def updated(self, config: FlagConfig) -> str:
        return moment(config.updated_at)

    def get_urls(self) -> list[URLPattern]:
        def route(pattern: str, view: View, name: str) -> URLPattern:
            return path(pattern, self.admin_site.admin_view(view), name=f"flags_flagconfig_{name}")

        return [
            route("new/preview/", self._preview_new, "preview_new"),
            route("<path:object_id>/preview/", self._on_flag(page.preview), "preview"),
            route("<path:object_id>/people/", self._on_flag(affected_users.fragment), "people"),
            route("<path:object_id>/compare/", self._on_flag(comparison.page), "compare"),
            route("attributes/", self._attributes, "attributes"),
            route("<path:object_id>/kill/", self._on_flag(kill.kill, needs_editor=True), "kill"),
            route("<path:object_id>/release/", self._on_flag(kill.release, needs_editor=True), "release"),
            route("kill-many/", self._on_list(kill_many.kill), "kill_many"),
            route("release-many/", self._on_list(kill_many.release), "release_many"),
            route("archive-many/", self._on_list(archive_many.archive), "archive_many"),
            route("kill-tag/", self._on_environment(kill_tag.choose), "kill_tag"),
            route("<path:object_id>/board/", self._on_flag(kill.board), "board"),
            route("<path:object_id>/try/", self._on_flag(tryout.page), "try"),
            route("<path:object_id>/try/draft/", self._on_flag(tryout.fragment), "try_draft"),
            route("<path:object_id>/exposures/", self._on_flag(exposures.fragment), "exposures"),
            route(
                "<path:object_id>/versions/<int:version>/",
                self._on_flag(history.rollback, needs_editor=True),
                "rollback",
            ),
            route("<path:object_id>/archive/", self._on_flag(page.archive, needs_editor=True), "archive"),
            route("<path:object_id>/restore/", self._on_flag(page.restore, needs_editor=True), "restore"),
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
            return page.create(self, request)
        return self._on_flag(page.edit)(request, unquote(object_id))

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:  # noqa: ARG002 - Django's signature
        return self._on_flag(history.history)(request, unquote(object_id))

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:  # noqa: ARG002 - likewise
        raise Http404("Flags are archived, never deleted.")

    def _preview_new(self, request: HttpRequest) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return page.preview(self, request, None)

    def _attributes(self, request: HttpRequest) -> HttpResponse:
        """What to suggest in conditions, for whoever may see the environment in view."""
        environment = console_context(request).environment
        return JsonResponse(suggestions.attributes_of(environment) if environment is not None else {})

    def _on_flag(self, view: View, *, needs_editor: bool = False) -> View:
        """Find the flag through the door (404 where it is not this person's) and check the role, then run the view."""

        def run(request: HttpRequest, object_id: str, **given: Any) -> HttpResponse:
            config = self.get_object(request, unquote(object_id))
            if config is None:
                raise Http404("There is no such flag, or it belongs to another tenant.")
            if needs_editor and not self.has_edit_permission(request, config):
                raise PermissionDenied
            console_context(request).remember(config.environment)
            return view(self, request, config, **given)

        return run

    def _on_list(self, view: View) -> View:
        return lambda request: view(self, request)

    def _on_environment(self, view: View) -> View:
        """Run a view for the environment in view, for its editors."""

        def run(request: HttpRequest) -> HttpResponse:
            environment = console_context(request).environment
            if environment is None or not self.has_edit_permission(request):
                raise PermissionDenied
            return view(self, request, environment)

        return run

    @admin.action(description="Kill", permissions=["edit"])
    def kill_selected(self, request: HttpRequest, queryset: QuerySet[FlagConfig]) -> HttpResponse | None:
        return kill_many.ask_kill(self, request, queryset)

    @admin.action(description="Release", permissions=["edit"])
    def release_selected(self, request: HttpRequest, queryset: QuerySet[FlagConfig]) -> HttpResponse | None:
        return kill_many.ask_release(self, request, queryset)

    @admin.action(description="Archive", permissions=["add"])
    def archive_selected(self, request: HttpRequest, queryset: QuerySet[FlagConfig]) -> HttpResponse | None:
        return archive_many.ask(self, request, queryset)
