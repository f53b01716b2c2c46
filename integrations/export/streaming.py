"""Streaming every chain of the audit log to each target: in order, at least once, with cursors that survive.

A cursor's lock is held while its target writes, and the cursor moves in the same transaction. A worker that dies in
between leaves the cursor where it was: the rows are handed over again.
"""

import hashlib
from typing import Final

import structlog
from django.db import transaction

from audit.models import Entry
from integrations.export.targets import NotTakenError, Target, targets
from integrations.models import ExportCursor
from tenancy.models import Organization

log = structlog.get_logger(__name__)

_ROWS_AT_ONCE: Final = 500


def stream_audit() -> int:
    """Hand each target what it has not taken yet. Return how many rows were taken."""
    taken = 0
    for target in targets():
        chains = [None, *Organization.objects.order_by("pk").values_list("pk", flat=True)]
        try:
            for organization_id in chains:
                while (count := _next(target, organization_id)) > 0:
                    taken += count
        except NotTakenError as error:
            # The other targets go on; the schedule tries this one again.
            log.warning("audit_export_failed", target=target.name.partition(":")[0], why=str(error))
    return taken


@transaction.atomic
def _next(target: Target, organization_id: int | None) -> int:
    name, chain = hashlib.sha256(target.name.encode()).hexdigest(), organization_id or 0
    ExportCursor.objects.get_or_create(target=name, chain=chain)
    cursor = ExportCursor.objects.select_for_update(skip_locked=True).filter(target=name, chain=chain).first()
    if cursor is None:
        return 0
    rows = Entry.objects.filter(organization_id=organization_id, position__gt=cursor.position).order_by("position")
    entries = list(rows[:_ROWS_AT_ONCE])
    if not entries:
        return 0
    target.write(entries)
    cursor.position = entries[-1].position
    cursor.save(update_fields=["position"])
    return len(entries)
