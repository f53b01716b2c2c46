"""Streaming every chain of the audit log to each target: in order, at least once, with cursors that survive."""

import time
from collections.abc import Iterator
from typing import Final

from audit.models import Entry
from integrations.export.cursors import moving, watched
from integrations.export.targets import NotTakenError, Target, line_of, targets

_ROWS_AT_ONCE: Final = 500
# Rows can have megabytes each. Collectors refuse large bodies, and a call has five seconds.
_BYTES_AT_ONCE: Final = 1_000_000
_HELD_AT_ONCE: Final = 20
# A worker's other tasks wait no longer; what is left goes on in the next task.
RUN_SECONDS: Final = 20.0


def stream_audit() -> int:
    """Hand each target what it has not taken yet. Return how many rows were taken."""
    taken, until = 0, time.monotonic() + RUN_SECONDS
    broken: list[Exception] = []
    for target in targets():
        # Whatever happens, the other targets go on. The schedule tries this one again.
        try:
            with watched(target.kind, target.id, NotTakenError):
                for organization_id in _chains():
                    while time.monotonic() < until and (count := _next(target, organization_id)) > 0:
                        taken += count
        except Exception as error:  # noqa: BLE001 - raised below
            broken.append(error)
    if broken:
        raise broken[0]
    return taken


def _chains() -> Iterator[int | None]:
    """Every chain there is, also of organizations that were deleted, by one step of the index for each."""
    yield None
    found: int | None = 0
    while found is not None:
        rows = Entry.objects.filter(organization_id__gt=found).order_by("organization_id", "position")
        found = rows.values_list("organization_id", flat=True).first()
        if found is not None:
            yield found


def _next(target: Target, organization_id: int | None) -> int:
    with moving(target.id, organization_id or 0) as cursor:
        if cursor is None:
            return 0
        rows = Entry.objects.filter(organization_id=organization_id, position__gt=cursor.position).order_by("position")
        lines, count = bytearray(), 0
        for entry in rows[:_ROWS_AT_ONCE].iterator(chunk_size=_HELD_AT_ONCE):
            line = line_of(entry)
            if count and len(lines) + len(line) > _BYTES_AT_ONCE:
                break
            lines += line
            count, cursor.position = count + 1, entry.position
        if count:
            target.write(bytes(lines))
            cursor.save(update_fields=["position"])
        return count
