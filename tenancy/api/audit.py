"""The audit log over HTTP: filtered, paged, exported. A caller sees the rows of what it has a role on."""

from datetime import UTC, datetime
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponseBase, StreamingHttpResponse
from django.utils.dateparse import parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.response import Response

from audit.documents import csv_lines, entry_resource, json_lines
from audit.models import Entry
from audit.selectors import rows_about
from tenancy import access
from tenancy.api import serializers
from tenancy.api.request import Request
from tenancy.api.views import ORGANIZATION, TENANT, ManagementView, choice, paginated
from tenancy.errors import Invalid
from tenancy.refusals import instant_problems, refuse_if_any

FILTERS = [
    ORGANIZATION,
    OpenApiParameter("entity", str, description="The kind of thing: flag, segment, layer, environment, member …"),
    OpenApiParameter("flagKey", str, description="A flag, with the acts on its experiments."),
    OpenApiParameter("key", str, description="The key of the thing, of whatever kind."),
    OpenApiParameter("actor", str, description="Who: as shown in `actor`."),
    OpenApiParameter("action", str, description="As in flag.killed."),
    OpenApiParameter("project", str),
    OpenApiParameter("environment", str),
    OpenApiParameter("since", OpenApiTypes.DATETIME, description="Inclusive."),
    OpenApiParameter("until", OpenApiTypes.DATETIME, description="Exclusive."),
    TENANT,
]
_EQUALS = {
    "entity": "entity_type",
    "key": "entity_key",
    "actor": "actor_label",
    "action": "action",
    "project": "project",
    "environment": "environment",
}


class AuditView(ManagementView):
    """Lists the newest rows first."""

    @extend_schema(parameters=FILTERS, responses=serializers.AuditEntrySerializer(many=True))
    def get(self, request: Request) -> Response:
        return paginated(self, request, entries(request), entry_resource)


class AuditExportView(ManagementView):
    """Sends all rows that match the filters as a file, the oldest first."""

    @extend_schema(
        parameters=[*FILTERS, OpenApiParameter("as", str, enum=["csv", "jsonl"], description="csv by default.")],
        responses={(200, "text/csv"): OpenApiTypes.STR, (200, "application/x-ndjson"): OpenApiTypes.STR},
    )
    def get(self, request: Request) -> HttpResponseBase:
        kind = choice(request, "as", ("csv", "jsonl")) or "csv"
        rows = entries(request).order_by("id").iterator(chunk_size=2000)
        lines: Any = csv_lines(rows) if kind == "csv" else json_lines(rows)
        response = StreamingHttpResponse(lines, content_type="text/csv" if kind == "csv" else "application/x-ndjson")
        response["Content-Disposition"] = f'attachment; filename="audit.{kind}"'
        return response


def entries(request: Request) -> QuerySet[Entry]:
    """Return the rows that the caller may see and the query asks for."""
    query = request.query_params
    organization = access.get_organization(request.user, query.get("organization"), needs=None)
    found = Entry.objects.filter(access.audit_scope(request.user), organization_id=organization.pk)
    found = found.filter(**{field: query[name] for name, field in _EQUALS.items() if query.get(name)})
    if flag_key := query.get("flagKey"):
        found = rows_about(found, "flag", flag_key)
    if since := instant(request, "since"):
        found = found.filter(occurred_at__gte=since)
    if until := instant(request, "until"):
        found = found.filter(occurred_at__lt=until)
    return found.order_by("-id")


def instant(request: Request, name: str) -> datetime | None:
    """Return a query parameter that must be an ISO 8601 instant with a zone, or None where it was not sent."""
    text = request.query_params.get(name)
    if text is None:
        return None
    # A plus sign that was not encoded arrives as a space.
    try:
        moment = parse_datetime(text.replace(" ", "+") if "T" in text else text)
        if moment is not None and moment.tzinfo is not None:
            # In UTC, because PostgreSQL knows fewer zones than Python. Conversion overflows near the years 1 and 9999.
            moment = moment.astimezone(UTC)
            refuse_if_any(instant_problems(name, moment))
            return moment
    except (ValueError, OverflowError):
        pass
    raise Invalid("Write an instant in ISO 8601 with a zone, as in 2026-01-31T09:00:00Z.", attr=name)
