"""Accepts events into something durable, and stores them so that a bad event does not stop the others."""

from django.db import DatabaseError, DataError, IntegrityError

from analytics import prometheus
from analytics.event_records import Batch, Unreadable, pack
from analytics.pipeline import dead_letters, late_hours
from analytics.pipeline.brokers import broker
from analytics.pipeline.brokers.base import BrokerAwayError, BrokerFullError
from analytics.stores import store
from analytics.stores.base import Stored
from tenancy.errors import Unavailable

# Pieces of this many events let several ingest processes share one large API batch.
_EVENTS_PER_ENTRY = 500
_RETRY_AFTER_SECONDS = 5
# Errors of an event's data, as opposed to the server or the schema: a second attempt would fail too.
_POISON = (DataError, IntegrityError, ValueError, TypeError, OverflowError)


def accept_events(batch: Batch) -> None:
    """Return once no crash of a single process can lose the batch. Raises Unavailable when nothing durable takes it.

    The broker is durable; while it is away the store takes the batch. A full broker means that the ingest does not keep
    up. Storing here as well would make it slower, so the batch is refused.
    """
    pieces = [
        Batch(batch.exposures[start : start + _EVENTS_PER_ENTRY], batch.conversions[start : start + _EVENTS_PER_ENTRY])
        for start in range(0, max(len(batch.exposures), len(batch.conversions)), _EVENTS_PER_ENTRY)
    ]
    into = "stream"
    try:
        broker().append([pack(piece) for piece in pieces])
    except BrokerFullError as error:
        raise Unavailable(
            "Events arrive faster than they are stored; nothing of this batch was taken. Send it again later.",
            retry_after_seconds=_RETRY_AFTER_SECONDS,
        ) from error
    except BrokerAwayError:
        into = "store"
        try:
            store_events(batch)
        except DatabaseError as error:
            raise Unavailable(
                "Neither Redis nor PostgreSQL can take events. Send the batch again; what was kept counts once.",
                retry_after_seconds=_RETRY_AFTER_SECONDS,
            ) from error
    for kind, count in (("exposure", len(batch.exposures)), ("conversion", len(batch.conversions))):
        if count:
            prometheus.EVENTS_ACCEPTED.labels(kind, into).inc(count)


def store_events(batch: Batch) -> Stored:
    """Store a batch. Where an event cannot be stored, halve the batch until that event is alone, and set it aside.

    Raises DatabaseError when the store is away. Parts may then be stored; storing again does not double them.
    """
    if not len(batch):
        return Stored(0, 0)
    try:
        stored = store().write(batch)
    except _POISON as error:
        if len(batch) == 1:
            dead_letters.put_aside([Unreadable.of_event(batch, str(error))])
            return Stored(0, 0)
        first, second = batch.halves()
        left, right = store_events(first), store_events(second)
        return Stored(left.exposures + right.exposures, left.conversions + right.conversions)
    late_hours.note(batch)
    return stored
