"""Raw events by hour as Parquet objects, named so that an hour which is exported again replaces what it wrote before.

An event belongs to the hour in which it was received, and within that to the hour in which it happened. So it is in one
object alone, and an event that comes late makes a further object of its hour. The names follow Hive's partitions.
"""

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from django.utils import timezone

from analytics.models import EventPolicy, LateHour
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
    environments = {environment_id for environment_id, _ in found}
    places, kept_since = _places(environments), _kept_since(environments)
    count = 0
    with tempfile.TemporaryDirectory(prefix="flagship-export-") as folder:
        for environment_id, happened in found:
            begin = moment_of_hour(happened)
            rows = store().raw_rows(table, environment_id, begin, begin + _HOUR, received=received)
            path = Path(folder) / "hour.parquet"
            written = write_parquet(path, table, rows)
            # What was exported of it before is in the bucket alone, so that object stays. This one has what came since.
            kept = kept_since.get(environment_id)
            more = f"-after-{kept:%Y-%m-%d}" if kept is not None and begin < kept else ""
            folder_of = f"{table}/{places[environment_id]}/{begin:date=%Y-%m-%d/hour=%H}"
            key = f"{folder_of}/received-{since:%Y-%m-%dT%H}{more}.parquet"
            target.put(key, path, content_type=PARQUET, about={"rows": str(written)})
            count += written
    return count


def _kept_since(environment_ids: Collection[int]) -> dict[int, datetime]:
    """From when on raw events were not dropped, for environments of which some were."""
    rows = EventPolicy.objects.filter(environment_id__in=environment_ids)
    return {pk: since for pk, since in rows.values_list("environment_id", "raw_since") if since is not None}


def _places(environment_ids: Collection[int]) -> dict[int, str]:
    """Return where an environment's objects stand. One that was deleted is known by its id alone."""
    rows = Environment.objects.filter(pk__in=environment_ids).select_related("project__organization")
    known = {
        row.pk: f"organization={row.project.organization.slug}/project={row.project.key}/environment={row.key}"
        for row in rows
    }
    return {pk: known.get(pk, f"organization=_/project=_/environment={pk}") for pk in environment_ids}


@dataclass(frozen=True, slots=True)
class Late:
    """An hour that is to be exported anew, of some environments, and the ids of the notes that say so."""

    hour: int
    environment_ids: frozenset[int]
    notes: tuple[int, ...]


def late_hour(table: str, before: int) -> Late | None:
    """Return the hour that has waited for longest."""
    notes = LateHour.objects.filter(table=table, hour__lt=before)
    hour = notes.order_by("pk").values_list("hour", flat=True).first()
    if hour is None:
        return None
    found = list(notes.filter(hour=hour).values_list("pk", "environment_id")[:_MOST_NOTES])
    return Late(hour, frozenset(environment_id for _, environment_id in found), tuple(pk for pk, _ in found))


def forget_late(late: Late) -> None:
    """Notes that came while the hour was exported stay."""
    LateHour.objects.filter(pk__in=late.notes).delete()
