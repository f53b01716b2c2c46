"""Raw events exported to object storage by hour: what analytics writes, put where the settings of integrations say."""

import time
from typing import Final

from django.conf import settings

from analytics.services import hourly_exports
from integrations import prometheus
from integrations.export.cursors import EVENTS, moving, named, note_failed, note_taken
from integrations.outside.bucket import Bucket, BucketError
from tenancy.errors import ServiceError

# A worker's other tasks wait no longer, but for the hour that it is at; what is left goes on in the next task.
RUN_SECONDS: Final = 60.0
_SECONDS_AN_HOUR: Final = 3600


def export_events_by_hour(seconds: float = RUN_SECONDS) -> int:
    """Export each hour that is over and was not, and those of which more was stored since. Return how many events."""
    if not settings.EVENTS_EXPORT_URL:
        return 0
    bucket = Bucket(settings.EVENTS_EXPORT_URL)
    target, until, count = named(EVENTS, bucket.name), time.monotonic() + seconds, 0
    try:
        for number, table in enumerate(hourly_exports.TABLES):
            while time.monotonic() < until and (found := _next(bucket, target, number, table)) is not None:
                count += found
    except (BucketError, ServiceError, OSError) as error:
        note_failed(EVENTS, target, str(error))
    else:
        note_taken(EVENTS, target)
    return count


def export_again(table: str, hour: int) -> int:
    """Export one hour again, whatever the cursor says, once no worker is at the table."""
    bucket, number = Bucket(settings.EVENTS_EXPORT_URL), hourly_exports.TABLES.index(table)
    # Of two at once the later could be overwritten by the earlier.
    with moving(named(EVENTS, bucket.name), number, begin=_begin(), is_waiting=True):
        return hourly_exports.export_received_hour(bucket, table, hour)


def _begin() -> int:
    """A new bucket gets what is received from this hour on; the command exports what was before."""
    return hourly_exports.settled_hour()


def _next(bucket: Bucket, target: str, number: int, table: str) -> int | None:
    """Export one hour. None where there is nothing to do, or another worker does it."""
    with moving(target, number, begin=_begin()) as cursor:
        settled = hourly_exports.settled_hour()
        if cursor is None:
            return None
        prometheus.EXPORT_POSITION_SECONDS.labels(f"events {table}").set(
            max(0, settled - cursor.position) * _SECONDS_AN_HOUR
        )
        if cursor.position < settled:
            count = hourly_exports.export_received_hour(bucket, table, cursor.position)
            cursor.position += 1
            cursor.save(update_fields=["position"])
            return count
        # Only of hours before the cursor: the others are exported in any case.
        for hour, places in hourly_exports.late_hours(table, cursor.position).items():
            count = hourly_exports.export_received_hour(bucket, table, hour, environment_ids=places.keys())
            hourly_exports.forget_late([note for notes in places.values() for note in notes])
            return count
    return None
