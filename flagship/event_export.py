"""Raw events exported to object storage by hour: what analytics writes, put where the settings of integrations say."""

import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

from django.conf import settings

from analytics.services import hourly_exports
from integrations import prometheus
from integrations.export.cursors import EVENTS, Lease, LeaseLostError, furthest, leased, named, watched
from integrations.outside.bucket import Bucket, BucketError
from tenancy.errors import ServiceError

# A worker's other tasks wait no longer, but for the hour that it is at; what is left goes on in the next task.
RUN_SECONDS: Final = 60.0
_SECONDS_AN_HOUR: Final = 3600
# Longer than the events of one environment's hour take to be written and uploaded.
_LEASE: Final = timedelta(minutes=15)


def export_events_by_hour(seconds: float = RUN_SECONDS) -> int:
    """Export each hour that is over and was not, and those of which more was stored since. Return how many events."""
    if not settings.EVENTS_EXPORT_URL:
        return 0
    bucket = Bucket(settings.EVENTS_EXPORT_URL)
    target, until, count = named(EVENTS, bucket.name), time.monotonic() + seconds, 0
    with watched(EVENTS, target, BucketError, LeaseLostError, ServiceError, OSError):
        for number, table in enumerate(hourly_exports.TABLES):
            while time.monotonic() < until and (found := _next(bucket, target, number, table)) is not None:
                count += found
    return count


def export_again(table: str, hour: int) -> int:
    """Export one hour again, whatever the cursor says, once no worker is at the table."""
    bucket, number = Bucket(settings.EVENTS_EXPORT_URL), hourly_exports.TABLES.index(table)
    # Of two at once the later could be overwritten by the earlier.
    target = named(EVENTS, bucket.name)
    with leased(target, number, length=_LEASE, begin=_begin(number), is_waiting=True) as lease:
        assert lease is not None  # noqa: S101 - it was waited for
        return hourly_exports.export_received_hour(_Held(bucket, lease), table, hour)


class _Held:
    """The bucket, for as long as the cursor is ours."""

    def __init__(self, bucket: Bucket, lease: Lease) -> None:
        self._bucket, self._lease = bucket, lease

    def put(self, key: str, content: Path, *, content_type: str, about: Mapping[str, str]) -> str:
        """Raises BucketError and LeaseLostError."""
        self._lease.renew()
        return self._bucket.put(key, content, content_type=content_type, about=about)


def _begin(number: int) -> int:
    """Where another bucket or address stopped, so that a correction loses no hour; the first begins with this hour.

    The command exports what was before.
    """
    former, settled = furthest(EVENTS, number), hourly_exports.settled_hour()
    return settled if former is None else min(former, settled)


def _next(bucket: Bucket, target: str, number: int, table: str) -> int | None:
    """Export one hour. None where there is nothing to do, or another worker does it."""
    with leased(target, number, length=_LEASE, begin=_begin(number)) as lease:
        settled = hourly_exports.settled_hour()
        if lease is None:
            return None
        held = _Held(bucket, lease)
        prometheus.EXPORT_POSITION_SECONDS.labels(f"events {table}").set(
            max(0, settled - lease.position) * _SECONDS_AN_HOUR
        )
        if lease.position < settled:
            count = hourly_exports.export_received_hour(held, table, lease.position)
            lease.move(lease.position + 1)
            return count
        # Only of hours before the cursor: the others are exported in any case.
        late = hourly_exports.late_hour(table, lease.position)
        if late is None:
            return None
        count = hourly_exports.export_received_hour(held, table, late.hour, environment_ids=late.environment_ids)
        hourly_exports.forget_late(late)
        return count
