"""Hours whose export is to be made anew, because events of them were stored after they were over."""

import time
from typing import Final

from django.conf import settings

from analytics.event_records import Batch
from analytics.models import LateHour

HOUR_MS: Final = 3_600_000


def note(batch: Batch) -> None:
    """Note the hours of a batch, by when it was received, that are over. Call it once the batch is stored.

    Whoever dies in between is handed the batch again, and notes it then.
    """
    if not settings.EVENTS_EXPORT_URL:
        return
    present = int(time.time() * 1000) // HOUR_MS
    found = {("exposures", one.environment_id, one.received_ms // HOUR_MS) for one in batch.exposures}
    found |= {("conversions", one.environment_id, one.received_ms // HOUR_MS) for one in batch.conversions}
    LateHour.objects.bulk_create(
        LateHour(table=table, environment_id=environment_id, hour=hour)
        for table, environment_id, hour in sorted(found)
        if hour < present
    )
