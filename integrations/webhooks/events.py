"""What is delivered: an audit row as an event, and which rows an endpoint asked for."""

from datetime import datetime
from typing import Any, Final

from django.db.models import Q, QuerySet

from audit.documents import entry_resource
from audit.export_formats import json_bytes
from audit.models import Entry
from integrations.event_types import ALL
from integrations.models import WebhookCursor, WebhookEndpoint
from integrations.subjects import present_tags_of, says_no_tags, says_tags

TEST_EVENT: Final = "webhook.test"
_HASH_CHARACTERS: Final = 32
_HELD_AT_ONCE: Final = 100


def event_id(entry: Entry) -> str:
    """The same on every attempt and to every endpoint, and unlike that of any other installation."""
    return f"evt_{entry.hash[:_HASH_CHARACTERS]}"


def event_body(endpoint: WebhookEndpoint, entry: Entry) -> bytes:
    """The event as JSON: the same bytes on every attempt."""
    data = {"organization": endpoint.organization.slug, **entry_resource(entry)}
    return json_bytes({"type": entry.action, "timestamp": entry.occurred_at, "data": data})


def body_of_test(endpoint: WebhookEndpoint, at: datetime) -> bytes:
    """An event that tells of nothing but itself."""
    data: dict[str, Any] = {
        "organization": endpoint.organization.slug,
        "webhook": endpoint.name,
        "note": "Somebody asked for a test of this webhook. Nothing has changed.",
    }
    return json_bytes({"type": TEST_EVENT, "timestamp": at, "data": data})


def next_entry(cursor: WebhookCursor, endpoint: WebhookEndpoint) -> Entry | None:
    """The first row after the cursor that the endpoint asked for.

    It moves the cursor past those that it did not ask for; the caller saves it.
    """
    head = head_of(endpoint.organization_id)
    wanted = _wanted(endpoint).filter(position__gt=cursor.position, position__lte=head).order_by("position")
    entry = _first_tagged(wanted, set(endpoint.tags)) if endpoint.tags else wanted.first()
    cursor.position = entry.position - 1 if entry is not None else max(cursor.position, head)
    return entry


def _first_tagged(wanted: QuerySet[Entry], tags: set[str]) -> Entry | None:
    """The first row on a thing with one of the tags. Documents, which can have megabytes, are looked at by PostgreSQL.

    Only of rows that do not say their tags the present ones are asked for, one after the other.
    """
    said = wanted.filter(says_tags(tags)).values_list("position", flat=True).first()
    silent = wanted.filter(says_no_tags()).defer("before", "after", "changes")
    if said is not None:
        silent = silent.filter(position__lt=said)
    for entry in silent.iterator(chunk_size=_HELD_AT_ONCE):
        if present_tags_of(entry) & tags:
            said = entry.position
            break
    return wanted.filter(position=said).first() if said is not None else None


def head_of(organization_id: int) -> int:
    """The position of the organization's latest row; positions up to it have no gap."""
    rows = Entry.objects.filter(organization_id=organization_id).order_by("-position")
    return rows.values_list("position", flat=True).first() or 0


def _wanted(endpoint: WebhookEndpoint) -> QuerySet[Entry]:
    rows = Entry.objects.filter(organization_id=endpoint.organization_id)
    if ALL not in endpoint.events:
        named = Q(action__in=[name for name in endpoint.events if not name.endswith(".*")])
        for name in endpoint.events:
            if name.endswith(".*"):
                named |= Q(action__startswith=name.removesuffix("*"))
        rows = rows.filter(named)
    if endpoint.projects:
        rows = rows.filter(project__in=endpoint.projects)
    return rows.filter(environment__in=endpoint.environments) if endpoint.environments else rows
