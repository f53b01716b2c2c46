"""Where the audit log is streamed to. A target has taken what it was handed once `write` returns."""

import os
from pathlib import Path
from typing import Final, Protocol

from django.conf import settings

from audit.chain import end_of_torn_line
from audit.documents import entry_resource
from audit.export_formats import json_bytes
from audit.models import Entry
from integrations.export.cursors import AUDIT_COLLECTOR, AUDIT_FILE, named
from integrations.outside.calls import CallError, post


class NotTakenError(Exception):
    """The target did not take the rows; the text says why."""


class Target(Protocol):
    """`id` is what its cursors are known by: another file or another address begins anew."""

    @property
    def kind(self) -> str: ...

    @property
    def id(self) -> str: ...

    def write(self, lines: bytes) -> None:
        """Raises NotTakenError."""
        ...


def line_of(entry: Entry) -> bytes:
    """A JSON line: the row as the API has it, with its organization's id; null is the platform itself."""
    return json_bytes({"organizationId": entry.organization_id, **entry_resource(entry)}) + b"\n"


class FileTarget:
    """Lines appended to a file, and on the disk before the cursor moves."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self.kind: Final = AUDIT_FILE
        self.id: Final = named(AUDIT_FILE, path)

    def write(self, lines: bytes) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a+b") as file:
                # Of a write that broke off, the first row would otherwise be lost in the torn line.
                file.write(end_of_torn_line(file) + lines)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise NotTakenError(f"{self._path}: {error.strerror}.") from error


class HttpTarget:
    """Batches posted to a collector, as application/x-ndjson."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url, token
        self.kind: Final = AUDIT_COLLECTOR
        self.id: Final = named(AUDIT_COLLECTOR, url)

    def write(self, lines: bytes) -> None:
        headers = {"Content-Type": "application/x-ndjson"}
        if self._token:
            if not self._token.isprintable() or not self._token.isascii():
                raise NotTakenError("AUDIT_EXPORT_TOKEN has a line break or a character that no header may have.")
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            # Were WEBHOOK_ALLOWED_NETWORKS to list the collector, every tenant could reach what is beside it.
            answer = post(self._url, lines, headers, is_operators=True)
        except CallError as error:
            raise NotTakenError(str(error)) from error
        if not 200 <= answer.status < 300:
            raise NotTakenError(f"The collector answered {answer.status}.")


def targets() -> list[Target]:
    """Those that the settings name."""
    found: list[Target] = []
    if settings.AUDIT_EXPORT_FILE:
        found.append(FileTarget(settings.AUDIT_EXPORT_FILE))
    if settings.AUDIT_EXPORT_URL:
        found.append(HttpTarget(settings.AUDIT_EXPORT_URL, settings.AUDIT_EXPORT_TOKEN))
    return found
