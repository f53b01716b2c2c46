"""Raw events by hour as Parquet objects, named so that an hour which is exported again replaces what it wrote before.

An event belongs to the hour in which it was received, and within that to the hour in which it happened. So it is in one
object alone, and an event that comes late makes a further object of its hour. The names follow Hive's partitions.
"""

import tempfile
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from django.utils import timezone

from analytics.models import LateHour
from analytics.services.exports import write_parquet
from analytics.stores import store
from tenancy.models import Environment

TABLES: Final = ("exposures", "conversions")
_HOUR: Final = timedelta(hours=1)
# What was received just before the end of an hour is stored by then; what is not is noted as late.
SETTLED_AFTER: Final = timedelta(minutes=5)
_MOST_NOTES: Final = 10_000
PARQUET: Final = "application/vnd.apache.parquet"


class ObjectTarget(Protocol):
    """Takes an object whole or not at all, in place of one of the same name."""

    def put(self, key: str, content: Path, *, content_type: str, about: Mapping[str, str]) -> str: ...


def hour_of(moment: datetime) -> int:
    """Hours since 1970 (UTC)."""
    return int(moment.timestamp()) // 3600


def moment_of_hour(hour: int) -> datetime:
    return datetime.fromtimestamp(hour * 3600, UTC)


def settled_hour() -> int:
    """The first hour that is not to be exported yet."""
    return hour_of(timezone.now() - SETTLED_AFTER)


def export_received_hour(
    target: ObjectTarget, table: str, hour: int, *, environment_ids: Collection[int] | None = None
) -> int:
    """Write the objects of what was received in an hour, of some environments or of all. Return how many events."""
    since = moment_of_hour(hour)
    received = (since, since + _HOUR)
    found = [
        (environment_id, happened)
        for environment_id, happened, _ in store().received_hours(table, *received)
        if environment_ids is None or environment_id in environment_ids
    ]
    places = _places({environment_id for environment_id, _ in found})
    count = 0
    with tempfile.TemporaryDirectory(prefix="flagship-export-") as folder:
        for environment_id, happened in found:
            begin = moment_of_hour(happened)
            rows = store().raw_rows(table, environment_id, begin, begin + _HOUR, received=received)
            path = Path(folder) / "hour.parquet"
            written = write_parquet(path, table, rows)
            key = f"{table}/{places[environment_id]}/{begin:date=%Y-%m-%d/hour=%H}/received-{since:%Y-%m-%dT%H}.parquet"
            target.put(key, path, content_type=PARQUET, about={"rows": str(written)})
            count += written
    return count


def _places(environment_ids: Collection[int]) -> dict[int, str]:
    """Return where an environment's objects stand. One that was deleted is known by its id alone."""
    rows = Environment.objects.filter(pk__in=environment_ids).select_related("project__organization")
    known = {
        row.pk: f"organization={row.project.organization.slug}/project={row.project.key}/environment={row.key}"
        for row in rows
    }
    return {pk: known.get(pk, f"organization=_/project=_/environment={pk}") for pk in environment_ids}


def late_hours(table: str, before: int) -> dict[int, dict[int, list[int]]]:
    """Return hours that are to be exported anew, each with environments and the ids of the notes on them."""
    found: dict[int, dict[int, list[int]]] = {}
    notes = LateHour.objects.filter(table=table, hour__lt=before).order_by("pk")
    for pk, environment_id, hour in notes.values_list("pk", "environment_id", "hour")[:_MOST_NOTES]:
        found.setdefault(hour, {}).setdefault(environment_id, []).append(pk)
    return found


def forget_late(notes: Collection[int]) -> None:
    LateHour.objects.filter(pk__in=notes).delete()
