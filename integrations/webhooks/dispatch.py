"""Working on all endpoints that have something to be delivered, each in a thread, so that a slow one delays no other.

A commit wakes a worker by a task. Redis remembers that one is on its way, so that many commits at once wake one worker.
While it works it renews the note: of one that was killed the note is gone within a second. It is taken back before the
worker looks for the last time: what is committed after that wakes again.

A thread holds a connection to the database for as long as its call lasts. So there are WEBHOOK_THREADS at most, and
endpoints whose last attempt failed, which often hang, have a quarter of them together.
"""

import time
from collections.abc import Collection
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, connections, transaction
from django.db.models import BigIntegerField, Exists, F, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone
from django_redis import get_redis_connection
from redis.exceptions import RedisError

from audit.models import Entry
from integrations.models import WebhookCursor, WebhookDelivery
from integrations.signals import work_waiting
from integrations.webhooks.delivery import Outcome, deliver_next

log = structlog.get_logger(__name__)

THREADS: Final = settings.WEBHOOK_THREADS
# A worker's other tasks wait no longer; what is left goes on in the next task.
RUN_SECONDS: Final = 20.0
LOOK_SECONDS: Final = 0.1
_VISIT_SECONDS: Final = 2.0
_FAILING_SHARE: Final = 4
_NOTE: Final = f"{settings.REDIS_PREFIX}:webhooks-awake"
# For the way through the queue, and for as long as a worker is sure to look again.
_NOTE_MILLISECONDS: Final = 5000
_RENEWED_MILLISECONDS: Final = 1000
_RENEW_SECONDS: Final = 0.25


def wake() -> None:
    """Call a worker, unless one is on its way. Where its message is lost, the schedule calls one within a minute."""
    try:
        if not get_redis_connection("default").set(_NOTE, b"1", nx=True, px=_NOTE_MILLISECONDS):
            return
    except RedisError as error:
        log.warning("webhooks_not_woken", why=str(error))
        return
    work_waiting.send_robust(sender=WebhookCursor)


def wake_if_due() -> None:
    """Call a worker for what had to wait. It costs one query, however many of these stand in the queue."""
    if due(1):
        wake()


def _renew_note() -> None:
    try:
        get_redis_connection("default").set(_NOTE, b"1", px=_RENEWED_MILLISECONDS)
    except RedisError as error:
        log.warning("webhooks_note_not_renewed", why=str(error))


def _take_note_back() -> None:
    try:
        get_redis_connection("default").delete(_NOTE)
    except RedisError as error:
        log.warning("webhooks_note_stays", why=str(error))


def due(limit: int, *, but_for: Collection[UUID] = (), is_failing: bool | None = None) -> list[UUID]:
    """Some of the endpoints with something to be delivered now, at which no worker is.

    `is_failing`: only those whose last attempt failed, or only the others. By chance: in any order of their own the
    first ones, always due, would leave no turn to the others.
    """
    asked = WebhookDelivery.objects.filter(endpoint=OuterRef("pk"), state=WebhookDelivery.State.WAITING)
    rows = Entry.objects.filter(organization_id=OuterRef("endpoint__organization_id")).order_by("-position")
    head = Coalesce(Subquery(rows.values("position")[:1]), 0, output_field=BigIntegerField())
    is_due = Q(due_at__isnull=True) | Q(due_at__lte=timezone.now())
    with transaction.atomic():
        found = (
            WebhookCursor.objects.select_for_update(of=("self",), skip_locked=True)
            .annotate(head=head)
            .filter(Exists(asked) | (Q(endpoint__enabled=True, position__lt=F("head")) & is_due))
            .exclude(pk__in=but_for)
            .order_by("?")
        )
        if is_failing is not None:
            found = found.filter(failing_since__isnull=not is_failing)
        return list(found.values_list("pk", flat=True)[:limit])


def run(seconds: float = RUN_SECONDS) -> int:
    """Deliver until nothing is due, or the time is over. Return how many visits were made."""
    until, visits = time.monotonic() + seconds, 0
    busy: dict[UUID, Future[bool]] = {}
    failing: set[UUID] = set()
    # Visits that broke off: in this run they are not made again.
    broken: set[UUID] = set()
    is_last_look, renew_at = False, 0.0
    with ThreadPoolExecutor(THREADS, thread_name_prefix="webhook") as pool:
        while (now := time.monotonic()) < until:
            if not is_last_look and now >= renew_at:
                _renew_note()
                renew_at = now + _RENEW_SECONDS
            free = THREADS - len(busy)
            found = due(free, but_for=busy.keys() | broken, is_failing=False) if free else []
            left = min(free - len(found), max(1, THREADS // _FAILING_SHARE) - len(failing))
            again = due(left, but_for=busy.keys() | broken, is_failing=True) if left > 0 else []
            failing.update(again)
            found += again
            busy |= {pk: pool.submit(_visit, pk, until) for pk in found}
            visits += len(found)
            if busy:
                is_last_look = False
                wait(busy.values(), timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED)
                done = [pk for pk, future in busy.items() if future.done()]
                broken |= {pk for pk in done if not busy.pop(pk).result()}
                failing.difference_update(done)
            elif is_last_look:
                return visits
            else:
                is_last_look = True
                _take_note_back()
    _take_note_back()
    if due(1, but_for=broken):
        wake()
    return visits


def _visit(endpoint_id: UUID, until: float) -> bool:
    """Deliver what one endpoint waits for, one after the other; others get their turn after two seconds.

    Return whether it went as it should. What broke off is undone, and made again in a later run.
    """
    stop = min(until, time.monotonic() + _VISIT_SECONDS)
    try:
        while deliver_next(endpoint_id) is Outcome.DELIVERED and time.monotonic() < stop:
            pass
    except DatabaseError as error:
        log.warning("webhook_visit_broke_off", endpoint=str(endpoint_id), why=str(error))
        return False
    except Exception:
        log.exception("webhook_visit_failed", endpoint=str(endpoint_id))
        return False
    else:
        return True
    finally:
        connections.close_all()
