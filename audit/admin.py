"""The log in the console: read-only, filtered, with a readable diff. Which rows one sees is the upper app's to say."""

import csv
from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from audit.actions import label_of, tone_of
from audit.models import Entry

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


class EntryAdmin(ModelAdmin):
    """Registered by tenancy, which narrows `get_queryset` to whoever looks, and has `when` in the viewer's zone."""

    list_display = ["when", "who", "what", "entity", "where", "summary"]
    list_display_links = ["when"]
    list_filter: Sequence[Any] = [ActionFilter, EntityFilter, ActorFilter, EnvironmentFilter]
    list_filter_submit = True
    search_fields = ["entity_key", "actor_label", "reason", "request_id", "action"]
    search_help_text = "Search by key, person, reason, action or request id"
    show_full_result_count = False
    list_per_page = 50
    actions = None
    actions_list = ["export"]
    change_form_template = "audit/entry.html"

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django's signature
        return False

    def has_change_permission(self, request: HttpRequest, obj: Entry | None = None) -> bool:  # noqa: ARG002 - likewise
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Entry | None = None) -> bool:  # noqa: ARG002 - likewise
        return False

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
        return f"{entry.entity_type} {entry.entity_key}"

    @display(description="Where")
    def where(self, entry: Entry) -> str:
        return " / ".join(part for part in (entry.project, entry.environment) if part) or "organization"

    @display(description="What changed")
    def summary(self, entry: Entry) -> str:
        if entry.before is None or not entry.changes:
            return entry.reason or "-"
        paths = [str(change["path"]) for change in entry.changes if change["path"] not in {"version", "updatedAt"}]
        shown = ", ".join(paths[:4]) + (f" and {len(paths) - 4} more" if len(paths) > 4 else "")
        return f"{shown} - {entry.reason}" if entry.reason else shown

    @action(description="Export as CSV", icon="download")
    def export(self, request: HttpRequest) -> StreamingHttpResponse:
        """Stream the rows this person may see, narrowed by whatever filters came along in the address."""
        changelist = self.get_changelist_instance(request)
        rows = changelist.get_queryset(request).values_list(*_EXPORTED)
        response = StreamingHttpResponse(_csv_lines(rows.iterator(chunk_size=2000)), content_type="text/csv")
        response["Content-Disposition"] = 'attachment; filename="audit.csv"'
        return response


class _Echo:
    """A file that hands each written line straight back, for `csv` to stream into."""

    def write(self, line: str) -> str:
        return line


def _csv_lines(rows: Iterator[tuple[Any, ...]]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow(_EXPORTED)
    for row in rows:
        yield writer.writerow([_safe_cell(value) for value in row])


def _safe_cell(value: Any) -> str:
    """A cell that begins like a formula would be run by a spreadsheet; a leading quote keeps it text."""
    text = str(value)
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
