"""Where the audit log is streamed to. A target has taken what it was handed once `write` returns."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from django.conf import settings

from audit.documents import entry_resource
from audit.export_formats import json_bytes
from audit.models import Entry
from integrations.outside.calls import CallError, post


class NotTakenError(Exception):
    """The target did not take the rows; the text says why."""


class Target(Protocol):
    """`name` is what its cursors are known by: another file or another address begins anew."""

    @property
    def name(self) -> str: ...

    def write(self, entries: Sequence[Entry]) -> None:
        """Raises NotTakenError."""
        ...


def lines_of(entries: Sequence[Entry]) -> bytes:
    """JSON lines: the rows as the API has them, each with its organization's id; null is the platform itself."""
    return b"".join(
        json_bytes({"organizationId": entry.organization_id, **entry_resource(entry)}) + b"\n" for entry in entries
    )


class FileTarget:
    """Lines appended to a file, and on the disk before the cursor moves."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self.name: Final = f"file:{path}"

    def write(self, entries: Sequence[Entry]) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(lines_of(entries))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise NotTakenError(f"{self._path}: {error.strerror}.") from error


class HttpTarget:
    """Batches posted to a collector, as application/x-ndjson."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url, token
        self.name: Final = f"http:{url}"

    def write(self, entries: Sequence[Entry]) -> None:
        headers = {"Content-Type": "application/x-ndjson"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            answer = post(self._url, lines_of(entries), headers)
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
