"""Events that could not be stored, with the reason, until somebody retries or discards them."""

from collections.abc import Sequence

import structlog
from django.db import transaction

from analytics import prometheus
from analytics.event_records import Unreadable
from analytics.models import DeadLetter
from analytics.pipeline.brokers import broker

log = structlog.get_logger(__name__)


def put_aside(found: Sequence[Unreadable]) -> None:
    if not found:
        return
    DeadLetter.objects.bulk_create(
        DeadLetter(
            environment_id=event.environment_id,
            kind=event.kind,
            # PostgreSQL stores no NUL, and the message may quote a value that has one.
            reason=event.reason.replace("\x00", "\\x00")[:2000],
            payload=event.payload,
        )
        for event in found
    )
    prometheus.DEAD_LETTERS.inc(len(found))
    log.error("events set aside", count=len(found), reason=found[0].reason[:200])


def retry(ids: Sequence[int] | None = None) -> int:
    """Append dead letters (all, or those of `ids`) to the broker again. Those that fail again become new dead letters.

    Raises BrokerFullError or BrokerAwayError; the letters that were not sent stay.
    """
    count = 0
    rows = DeadLetter.objects.order_by("id")
    if ids is not None:
        rows = rows.filter(pk__in=ids)
    for pk in list(rows.values_list("pk", flat=True)):
        with transaction.atomic():
            letter = DeadLetter.objects.select_for_update(skip_locked=True).filter(pk=pk).first()
            if letter is None:
                continue
            # Sent before it is deleted. A crash in between sends it twice, and its ids make it count once.
            broker().append([bytes(letter.payload)], patient=True)
            letter.delete()
            count += 1
    return count


def discard(ids: Sequence[int] | None = None) -> int:
    rows = DeadLetter.objects.all() if ids is None else DeadLetter.objects.filter(pk__in=ids)
    return rows.delete()[0]
