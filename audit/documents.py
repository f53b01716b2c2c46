"""A row of the log as it is shown and exported."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from audit.export_formats import BROKE_OFF, csv_rows, json_bytes, whole_or_said
from audit.models import Entry

COLUMNS = (
    "id",
    "occurredAt",
    "actor",
    "actorKind",
    "credential",
    "requestId",
    "action",
    "entity",
    "key",
    "project",
    "environment",
    "before",
    "after",
    "changes",
    "reason",
    "position",
    "hash",
)


def entry_resource(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.pk,
        "occurredAt": entry.occurred_at,
        "actor": entry.actor_label,
        "actorKind": entry.actor_kind,
        "credential": entry.credential,
        "requestId": entry.request_id,
        "action": entry.action,
        "entity": entry.entity_type,
        "key": entry.entity_key,
        "project": entry.project,
        "environment": entry.environment,
        "before": entry.before,
        "after": entry.after,
        "changes": entry.changes,
        "reason": entry.reason,
        "position": entry.position,
        "hash": entry.hash,
    }


def json_lines(entries: Iterable[Entry]) -> Iterator[bytes]:
    lines = (json_bytes(entry_resource(entry)) + b"\n" for entry in entries)
    return whole_or_said(lines, json_bytes({"error": BROKE_OFF}) + b"\n")


def csv_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield a header, then a line for each row."""
    lines = csv_rows(chain([COLUMNS], (list(entry_resource(entry).values()) for entry in entries)))
    return whole_or_said(lines, f"{BROKE_OFF}\r\n")
