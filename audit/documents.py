"""A row of the log as it is shown and exported."""

import csv
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

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
    for entry in entries:
        yield orjson.dumps(entry_resource(entry), option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)


class _Echo:
    """A file whose `write` returns the line, so that `csv` can stream."""

    def write(self, line: str) -> str:
        return line


def csv_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield a header, then a line for each row. Objects are JSON; a cell like a formula gets a quote before it."""
    writer = csv.writer(_Echo())
    yield writer.writerow(COLUMNS)
    for entry in entries:
        yield writer.writerow([_cell(value) for value in entry_resource(entry).values()])


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return f"'{value}" if value[:1] in {"=", "+", "-", "@", "\t", "\r"} else value
    return orjson.dumps(value, option=orjson.OPT_UTC_Z).decode().strip('"')
