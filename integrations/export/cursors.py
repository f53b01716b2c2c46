"""How far each target outside is, and whether it takes what it is handed.

A cursor's lock is held while its target writes, and the cursor moves in the same transaction. A worker that dies in
between leaves the cursor where it was: the same is handed over again. Two workers never write to one target at once.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from integrations import prometheus
from integrations.models import ExportCursor, ExportTarget
from integrations.outside.bucket import Bucket

log = structlog.get_logger(__name__)

EVENTS, SNAPSHOTS, AUDIT_FILE, AUDIT_COLLECTOR = "events", "snapshots", "file", "http"


def named(kind: str, where: str) -> str:
    """The name by which a target's cursors are known. Another place begins anew."""
    return hashlib.sha256(f"{kind}:{where}".encode()).hexdigest()


@contextmanager
def moving(target: str, chain: int = 0, *, begin: int = 0, is_waiting: bool = False) -> Iterator[ExportCursor | None]:
    """Hold the cursor in a transaction; None while another worker does, unless it is waited for.

    A new one begins at `begin`.
    """
    # Committed by itself: a row that is not would make the other worker wait.
    ExportCursor.objects.get_or_create(target=target, chain=chain, defaults={"position": begin})
    with transaction.atomic():
        rows = ExportCursor.objects.select_for_update(skip_locked=not is_waiting)
        yield rows.filter(target=target, chain=chain).first()


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
