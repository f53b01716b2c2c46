"""The audit log in the console: read only, with filters and a readable diff, limited to what this person may see."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from unfold.decorators import display

from audit.actions import label_of, tone_of
from audit.export_formats import BROKE_OFF, csv_rows, whole_or_said
from audit.models import Entry
from audit.selectors import rows_about
from tenancy import access
from tenancy.admin import audit_proof
from tenancy.admin.named_things import ids_named, names_of
from tenancy.console_kit.admin import ConsoleAdmin, ConsoleList
from tenancy.console_kit.changes import sentences
from tenancy.console_kit.context import console_context
from tenancy.console_kit.formats import moment
from tenancy.console_kit.instants import InstantRangeFilter
from tenancy.console_kit.pages import console_page
from tenancy.console_kit.routes import About, Route

# What the list tells of an entry; its own page has all of it.
_MOST_SAID, _LONGEST = 2, 120
_EXPORTED = (
    "occurred_at",
    "actor_label",
    "credential",
    "action",
    "entity_type",
    "entity_key",
    "project",
    "environment",
    "reason",
    "request_id",
    "changes",
)


class _SeenValuesFilter(SimpleListFilter):
    """Offers the values that occur in the rows this person may see, and no other tenant's."""

    field = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = model_admin.get_queryset(request).order_by(self.field).values_list(self.field, flat=True).distinct()
        return [(value, value) for value in rows[:200] if value]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Entry]) -> QuerySet[Entry]:  # noqa: ARG002 - Django's signature
        return queryset.filter(**{self.field: self.value()}) if self.value() else queryset


class ActionFilter(_SeenValuesFilter):
    title = "action"
    parameter_name = field = "action"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, label_of(name)) for name, _ in super().lookups(request, model_admin)]


class EntityFilter(_SeenValuesFilter):
    title = "kind of thing"
    parameter_name = field = "entity_type"


class ActorFilter(_SeenValuesFilter):
    title = "who"
    parameter_name = field = "actor_label"


class EnvironmentFilter(_SeenValuesFilter):
    title = "environment"
    parameter_name = field = "environment"


class FlagFilter(_SeenValuesFilter):
    """A flag's whole history: its own rows, and those of its experiments."""

    title = parameter_name = "flag"
    field = "entity_key"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = model_admin.get_queryset(request).filter(entity_type="flag").order_by(self.field)
        return [(key, key) for key in rows.values_list(self.field, flat=True).distinct()[:200]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Entry]) -> QuerySet[Entry]:  # noqa: ARG002 - Django's signature
        return rows_about(queryset, "flag", self.value() or "") if self.value() else queryset


def visible_entries(request: HttpRequest) -> QuerySet[Entry]:
    """Return the rows that this person may see, as over the API."""
    return Entry.objects.filter(access.audit_scope(console_context(request).principal)).order_by("-id")


def _export(request: HttpRequest) -> StreamingHttpResponse:
    """Stream what the list shows: the rows that this person may see, by the search and the filters of the address."""
    entries = admin.site.get_model_admin(Entry)
    changelist = entries.get_changelist_instance(request)
    rows = changelist.get_queryset(request).values_list(*_EXPORTED)
    lines = csv_rows(chain([_EXPORTED], rows.iterator(chunk_size=2000)))
    response = StreamingHttpResponse(whole_or_said(lines, f"{BROKE_OFF}\r\n"), content_type="text/csv")
    response["Content-Disposition"] = 'attachment; filename="audit.csv"'
    return response


def name_in(entry: Entry, names: Mapping[str, str]) -> str:
    """Return the name of what was acted on: its present one, or that in the entry, or its key."""
    state = entry.after or entry.before or {}
    named = state.get("name") if entry.entity_type == "experiment" else None
    return names.get(entry.entity_key) or str(named or entry.entity_key)


class EntryList(ConsoleList):
    """Looks up the names of a page's things with one query a kind."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        entries: list[Any] = list(self.result_list)
        for kind in {entry.entity_type for entry in entries}:
            here = [entry for entry in entries if entry.entity_type == kind]
            names = names_of(request, kind, {entry.entity_key for entry in here})
            for entry in here:
                entry.names = names
        self.result_list = entries


@admin.register(Entry)
class EntryAdmin(ConsoleAdmin):
    list_display = ["when", "who", "what", "entity", "where", "summary"]
    list_display_links = ["when"]
    list_filter = [
        FlagFilter,
        ActionFilter,
        EntityFilter,
        ActorFilter,
        EnvironmentFilter,
        ("occurred_at", InstantRangeFilter),
    ]
    list_filter_submit = True
    search_fields = ["entity_key", "actor_label", "reason", "request_id", "action"]
    search_help_text = "Search by key, name, person, reason, action or request id"
    list_before_template = "tenancy/audit_head.html"
    routes = (
        Route("export/", "export", _export, About.LIST),
        Route("heads/", "heads", audit_proof.page, About.LIST),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Entry]:
        return visible_entries(request)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[EntryList]:  # noqa: ARG002 - Django's signature
        return EntryList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Entry], search_term: str
    ) -> tuple[QuerySet[Entry], bool]:
        """Find what the fields hold, and what is called so now or was in the entry."""
        found, may_repeat = super().get_search_results(request, queryset, search_term)
        text = search_term.strip()
        if not text:
            return found, may_repeat
        named = Q(entity_key__in=ids_named(request, text)) | Q(after__name__icontains=text)
        return found | queryset.filter(named | Q(before__name__icontains=text)), may_repeat

    def show(self, request: HttpRequest, thing: Entry) -> HttpResponse:
        if request.method == "POST":
            raise PermissionDenied
        name = name_in(thing, names_of(request, thing.entity_type, [thing.entity_key]))
        title = f"{thing.actor_label} · {label_of(thing.action)} · {thing.entity_type} {name}"
        return console_page(request, "tenancy/audit_entry.html", title=title, entry=thing)

    @display(description="When", ordering="id")
    def when(self, entry: Entry) -> str:
        return moment(entry.occurred_at)

    @display(description="Who", ordering="actor_label")
    def who(self, entry: Entry) -> str:
        return entry.actor_label

    @display(
        description="Action",
        ordering="action",
        label={"danger": "danger", "success": "success", "warning": "warning"},
    )
    def what(self, entry: Entry) -> tuple[str, str]:
        return tone_of(entry.action), label_of(entry.action)

    @display(description="To", ordering="entity_key")
    def entity(self, entry: Entry) -> str:
        return f"{entry.entity_type} {name_in(entry, getattr(entry, 'names', {}))}"

    @display(description="Where")
    def where(self, entry: Entry) -> str:
        return " / ".join(part for part in (entry.project, entry.environment) if part) or "organization"

    @display(description="What changed")
    def summary(self, entry: Entry) -> str:
        if entry.before is None or not entry.changes:
            return entry.reason or "-"
        said = sentences(entry.changes)
        more = f" And {len(said) - _MOST_SAID} more." if len(said) > _MOST_SAID else ""
        shown = " ".join(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…" for text in said[:_MOST_SAID]) + more
        return f"{shown} ({entry.reason})" if entry.reason else shown or "-"
