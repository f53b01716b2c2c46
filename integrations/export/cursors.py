"""How far each target outside is, and whether it takes what it is handed.

A worker that dies leaves the cursor where it was: the same is handed over again. Two workers never write to one target
at once. What takes seconds is done under the cursor's lock, and moves it in the same transaction. An upload may take
minutes: for that a worker takes a lease of the cursor, and no transaction is open.
"""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from integrations import prometheus
from integrations.models import ExportCursor, ExportTarget
from integrations.outside.bucket import Bucket

log = structlog.get_logger(__name__)

_LOOK_SECONDS: Final = 0.5
EVENTS, SNAPSHOTS, AUDIT_FILE, AUDIT_COLLECTOR = "events", "snapshots", "file", "http"


def named(kind: str, where: str) -> str:
    """The name by which a target's cursors are known. Another place has its own."""
    return hashlib.sha256(f"{kind}:{where}".encode()).hexdigest()


def furthest(kind: str, chain: int) -> int | None:
    """How far any target of a kind is, one that the settings name no more too; None where there was none."""
    targets = ExportTarget.objects.filter(kind=kind).values("target")
    rows = ExportCursor.objects.filter(target__in=targets, chain=chain).order_by("-position")
    return rows.values_list("position", flat=True).first()


@contextmanager
def moving(target: str, chain: int = 0) -> Iterator[ExportCursor | None]:
    """Hold the cursor in a transaction; None while another worker does. What is written inside must not take long."""
    # Committed by itself: a row that is not would make the other worker wait.
    ExportCursor.objects.get_or_create(target=target, chain=chain)
    with transaction.atomic():
        rows = ExportCursor.objects.select_for_update(skip_locked=True)
        yield rows.filter(target=target, chain=chain).first()


class LeaseLostError(Exception):
    """Another worker has taken the cursor, because this one took longer than its lease."""


class Lease:
    """A cursor that nobody else moves meanwhile."""

    def __init__(self, cursor: ExportCursor, length: timedelta) -> None:
        self.position, self.mark = cursor.position, cursor.mark
        self._rows, self._length = ExportCursor.objects.filter(pk=cursor.pk), length
        self._until: datetime | None = None

    def take(self) -> bool:
        """Take it, unless another worker has it."""
        now = timezone.now()
        free = self._rows.filter(Q(leased_until__isnull=True) | Q(leased_until__lt=now))
        is_taken = free.update(leased_until=now + self._length) > 0
        if is_taken:
            self._until = now + self._length
            self.position, self.mark = self._rows.values_list("position", "mark").get()
        return is_taken

    def renew(self) -> None:
        """Raises LeaseLostError."""
        until = timezone.now() + self._length
        self._change(leased_until=until)
        self._until = until

    def move(self, position: int, mark: str = "") -> None:
        """Raises LeaseLostError."""
        self._change(position=position, mark=mark)
        self.position, self.mark = position, mark

    def give_back(self) -> None:
        self._rows.filter(leased_until=self._until).update(leased_until=None)

    def _change(self, **columns: Any) -> None:
        if not self._rows.filter(leased_until=self._until).update(**columns):
            raise LeaseLostError("It took longer than the worker may have the cursor; another one goes on.")


@contextmanager
def leased(
    target: str, chain: int = 0, *, length: timedelta, begin: int = 0, is_waiting: bool = False
) -> Iterator[Lease | None]:
    """Take the cursor; None while another worker has it, unless that is waited for. A new one begins at `begin`."""
    cursor, _ = ExportCursor.objects.get_or_create(target=target, chain=chain, defaults={"position": begin})
    lease = Lease(cursor, length)
    while not (is_taken := lease.take()) and is_waiting:
        time.sleep(_LOOK_SECONDS)
    try:
        yield lease if is_taken else None
    finally:
        if is_taken:
            lease.give_back()


@contextmanager
def watched(kind: str, target: str, *known: type[Exception]) -> Iterator[None]:
    """Let the health page say how it went inside. `known` errors end here; any other one is noted, and goes on."""
    try:
        yield
    except known as error:
        note_failed(kind, target, str(error))
    except Exception as error:
        note_failed(kind, target, f"{type(error).__name__}: {error}")
        raise
    else:
        note_taken(kind, target)


def note_taken(kind: str, target: str) -> None:
    """The target has taken what it was handed, or there was nothing."""
    prometheus.EXPORTS.labels(kind, "taken").inc()
    ExportTarget.objects.update_or_create(
        target=target, defaults={"kind": kind, "taken_at": timezone.now(), "failing_since": None, "problem": ""}
    )


def note_failed(kind: str, target: str, why: str) -> None:
    prometheus.EXPORTS.labels(kind, "failed").inc()
    log.warning("export_failed", target=kind, why=why)
    row, _ = ExportTarget.objects.get_or_create(target=target, defaults={"kind": kind})
    row.failing_since = row.failing_since or timezone.now()
    row.problem = why[:500].replace("\x00", "")
    row.save(update_fields=["failing_since", "problem"])


def configured() -> dict[str, str]:
    """Return the targets that the settings name, each with its kind."""
    found = {
        named(AUDIT_FILE, settings.AUDIT_EXPORT_FILE): AUDIT_FILE if settings.AUDIT_EXPORT_FILE else "",
        named(AUDIT_COLLECTOR, settings.AUDIT_EXPORT_URL): AUDIT_COLLECTOR if settings.AUDIT_EXPORT_URL else "",
    }
    for kind, url in ((EVENTS, settings.EVENTS_EXPORT_URL), (SNAPSHOTS, settings.SNAPSHOTS_EXPORT_URL)):
        if url:
            found[named(kind, Bucket(url).name)] = kind
    return {target: kind for target, kind in found.items() if kind}
