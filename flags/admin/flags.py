"""Flags in the console: the list, and the routes to each flag's pages."""

from functools import cache
from typing import Any, cast

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from unfold.decorators import display
from unfold.utils import display_for_label

from flags.admin.across import comparison, copying
from flags.admin.flag import affected_users, archive, edit, exposures, history, preview, suggestions, usage
from flags.admin.flag.tryout import try_pages
from flags.admin.killing import kill, kill_all, kill_many, kill_tag
from flags.admin.lifecycle import debt_page, of_flag
from flags.admin.lifecycle.filters import KindFilter, OwnerFilter, StageFilter, TeamFilter
from flags.admin.list import archive_many, copy_many, exchange, switch_many, tag_many
from flags.admin.list.bulk import visible_flags
from flags.admin.list.filters import FlagList, StateFilter, TagFilter, TypeFilter
from flags.admin.references import panel
from flags.documents import rollout_of
from flags.models import FlagConfig
from flags.selectors import flags_matching
from tenancy.console_kit.admin import EmptyList
from tenancy.console_kit.context import console_context
from tenancy.console_kit.environments import PerEnvironmentAdmin, may_edit
from tenancy.console_kit.formats import moment
from tenancy.console_kit.pages import object_url
from tenancy.console_kit.routes import About, Route
from tenancy.models import Environment
from tenancy.roles import Role

ROUTES = (
    Route("attributes/", "attributes", suggestions.attributes, About.ENVIRONMENT),
    Route("kill-many/", "kill_many", kill_many.kill, About.LIST),
    Route("release-many/", "release_many", kill_many.release, About.LIST),
    Route("archive-many/", "archive_many", archive_many.archive, About.LIST),
    Route("switch-on-many/", "switch_on_many", switch_many.on, About.LIST),
    Route("switch-off-many/", "switch_off_many", switch_many.off, About.LIST),
    Route("tag-many/", "tag_many", tag_many.tag, About.LIST),
    Route("copy-many/", "copy_many", copy_many.copy, About.LIST),
    Route("export/", "export", exchange.export_file, About.ENVIRONMENT),
    Route("import/", "import", exchange.import_page, About.ENVIRONMENT, Role.EDITOR, in_project=True),
    Route("kill-tag/", "kill_tag", kill_tag.choose, About.ENVIRONMENT, Role.EDITOR),
    Route("kill-all/", "kill_all", kill_all.kill_all, About.ENVIRONMENT, Role.OWNER),
    Route("restore-many/", "restore_many", archive_many.restore, About.LIST),
    Route("debt/", "debt", debt_page.page, About.ENVIRONMENT),
    Route("unknown/", "unknown", usage.unknown, About.ENVIRONMENT),
    Route("new/preview/", "preview_new", preview.of_new, About.ENVIRONMENT, Role.EDITOR, in_project=True),
    Route("<path:object_id>/preview/", "preview", preview.of_change),
    Route("<path:object_id>/people/", "affected_users", affected_users.fragment),
    Route("<path:object_id>/compare/", "compare", comparison.page),
    Route("<path:object_id>/copy/", "copy", copying.page),
    Route("<path:object_id>/switch/", "switch", switch_many.one, role=Role.EDITOR),
    Route("<path:object_id>/kill/", "kill", kill.kill, role=Role.EDITOR),
    Route("<path:object_id>/release/", "release", kill.release, role=Role.EDITOR),
    Route("<path:object_id>/board/", "kill_status", kill.status),
    Route("<path:object_id>/try/", "try", try_pages.page),
    Route("<path:object_id>/try/draft/", "try_draft", try_pages.fragment),
    Route("<path:object_id>/exposures/", "exposures", exposures.fragment),
    Route("<path:object_id>/usage/", "usage", usage.fragment),
    Route("<path:object_id>/references/", "references", panel.fragment),
    Route("<path:object_id>/lifecycle/", "lifecycle", of_flag.fragment),
    Route("<path:object_id>/history/", "history", history.history),
    Route("<path:object_id>/versions/<int:version>/", "rollback", history.rollback, role=Role.EDITOR, in_project=True),
    Route("<path:object_id>/archive/", "archive", archive.archive, role=Role.EDITOR, in_project=True),
    Route("<path:object_id>/restore/", "restore", archive.restore, role=Role.EDITOR),
    Route("<path:object_id>/purge/", "purge", archive.purge, role=Role.ADMIN),
)


@cache
def _badge(state: str) -> str:
    """The theme's label of a state, made once and not for each row."""
    colours = {"killed": "danger", "archived": "warning", "on": "success", "off": "default"}
    return cast(str, display_for_label(state, "-", colours))


@admin.register(FlagConfig)
class FlagConfigAdmin(PerEnvironmentAdmin):
    """A flag as one environment sees it."""

    list_display = ["flag_header", "state", "serves", "rule_count", "tags", "stage", "owner", "evaluated", "updated"]
    # The stage last: it is worked out of what the others leave.
    list_filter = [StateFilter, TypeFilter, TagFilter, KindFilter, OwnerFilter, TeamFilter, StageFilter]
    search_fields = ["flag__key"]
    search_help_text = "Search by key, name or tag"
    list_before_template = "flags/list_head.html"
    empty = EmptyList(
        "No flags here yet",
        "A flag is one decision your code asks for, like “show the new checkout?”.",
        "Create the first flag",
        "Somebody with the role editor can create one.",
    )
    routes = ROUTES
    ordering = ["flag__key"]
    actions = [
        "switch_on_selected",
        "switch_off_selected",
        "kill_selected",
        "release_selected",
        "tag_selected",
        "copy_selected",
        "archive_selected",
        "restore_selected",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[FlagConfig]:
        return visible_flags(request)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[FlagList]:  # noqa: ARG002 - Django's signature
        return FlagList

    def get_list_display(self, request: HttpRequest) -> list[str]:
        columns = list(self.list_display)
        return [*columns[:2], "switch", *columns[2:]] if may_edit(request) else columns

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002 - Django's signature
        queryset: QuerySet[FlagConfig],
        search_term: str,
    ) -> tuple[QuerySet[FlagConfig], bool]:
        return queryset.filter(flags_matching(search_term)), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        environment = console_context(request).environment
        rights = {
            "may_import": self.has_add_permission(request),
            "may_kill": may_edit(request),
            "may_kill_all": console_context(request).may(Role.OWNER, environment),
        }
        return super().changelist_view(request, {**rights, **(extra_context or {})})

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return whether the person may edit the whole project, because a new flag exists in each environment."""
        environment = console_context(request).environment
        return environment is not None and console_context(request).may_in_project(Role.EDITOR, environment.project)

    def has_copy_permission(self, request: HttpRequest) -> bool:
        environment = console_context(request).environment
        return environment is not None and bool(copying.targets_of(request, environment))

    @display(description="Flag", header=True, ordering="flag__key")
    def flag_header(self, config: FlagConfig) -> tuple[str, str]:
        notes = [
            config.flag.name if config.flag.name != config.flag.key else "",
            "in an experiment" if config.experiment else "",
            "stale" if getattr(config, "is_stale", False) else "",  # The list adds this.
        ]
        return config.flag.key, " · ".join(filter(None, notes))

    @display(description="State", ordering="is_enabled")
    def state(self, config: FlagConfig) -> str:
        return _badge(config.state)

    @display(description="Switch")
    def switch(self, config: FlagConfig) -> str:
        if config.is_killed or config.flag.is_archived:
            return "-"
        word = "off" if config.is_enabled else "on"
        link = '<a class="fs-button fs-button--small" href="{}" aria-label="Switch {} {}">Switch {}…</a>'
        return format_html(link, object_url(config, "switch"), config.flag.key, word, word)

    @display(description="Serves")
    def serves(self, config: FlagConfig) -> str:
        if config.is_killed:
            return f"everybody {config.kill_switch_variant}"
        if not config.is_enabled:
            return f"everybody {config.off_variant}"
        shares = ", ".join(f"{share['percent']} % {share['variant']}" for share in rollout_of(config.allocation))
        prefix = "experiment: " if config.experiment else ""
        # The list adds the count.
        decides = config.experiment or config.targets or getattr(config, "rules_total", 0)
        only = "" if shares or decides else "only its default: "
        return prefix + (shares or f"{only}everybody {config.default_variant}")

    @display(description="Rules")
    def rule_count(self, config: FlagConfig) -> int:
        return getattr(config, "rules_total", 0)  # The list adds it.

    @display(description="Tags")
    def tags(self, config: FlagConfig) -> str:
        return ", ".join(config.flag.tags) or "-"

    @display(description="Stage")
    def stage(self, config: FlagConfig) -> str:
        known = getattr(config, "known", None)  # The list adds it.
        if known is None:
            return "-"
        return known.found.stage.label + (", past its end" if known.found.is_overdue else "")

    @display(description="Owner", ordering="flag__owner")
    def owner(self, config: FlagConfig) -> str:
        return ", ".join(filter(None, [config.flag.owner, config.flag.team])) or "-"

    @display(description="Evaluated")
    def evaluated(self, config: FlagConfig) -> str:
        at, by = getattr(config, "used_at", None), getattr(config, "used_by", "")  # The list adds both.
        return moment(at) if by is None or not at else format_html("{} by {}", moment(at), by or "another service")

    @display(description="Changed", ordering="updated_at")
    def updated(self, config: FlagConfig) -> str:
        return moment(config.updated_at)

    def crumb(self, thing: FlagConfig) -> str:
        return thing.flag.key

    def create_in(self, request: HttpRequest, environment: Environment) -> HttpResponse:
        return edit.create(request, environment)

    def show(self, request: HttpRequest, thing: FlagConfig) -> HttpResponse:
        return edit.edit(request, thing)

    @admin.action(description="Kill", permissions=["edit"])
    def kill_selected(self, request: HttpRequest, queryset: QuerySet[FlagConfig]) -> HttpResponse | None:
        return kill_many.ask_kill(request, queryset)

    @admin.action(description="Release", permissions=["edit"])
    def release_selected(self, request: HttpRequest, queryset: QuerySet[FlagConfig]) -> HttpResponse | None:
        return kill_many.ask_release(request, queryset)

    @admin.action(description="Switch on", permissions=["edit"])
    def switch_on_selected(self, request: HttpRequest, queryset: QuerySet[FlagConfig]) -> HttpResponse | None:
        return switch_many.ask_on(request, queryset)

    @admin.action(description="Switch off", permissions=["edit"])
    def switch_off_selected(self, request: HttpRequest, queryset: QuerySet[FlagConfig]) -> HttpResponse | None:
        return switch_many.ask_off(request, queryset)

    @admin.action(description="Add or take away tags", permissions=["add"])
    def tag_selected(self, request: HttpRequest, queryset: QuerySet[FlagConfig]) -> HttpResponse | None:
        return tag_many.ask(request, queryset)

    @admin.action(description="Copy to another environment", permissions=["copy"])
    def copy_selected(self, request: HttpRequest, queryset: QuerySet[FlagConfig]) -> HttpResponse | None:
        return copy_many.ask(request, queryset)

    @admin.action(description="Archive", permissions=["add"])
    def archive_selected(self, request: HttpRequest, queryset: QuerySet[FlagConfig]) -> HttpResponse | None:
        return archive_many.ask(request, queryset)

    @admin.action(description="Restore", permissions=["add"])
    def restore_selected(self, request: HttpRequest, queryset: QuerySet[FlagConfig]) -> HttpResponse | None:
        return archive_many.ask_restore(request, queryset)
