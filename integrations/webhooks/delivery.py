"""One delivery: the next event of an endpoint, or one that somebody asked for, sent once and written down.

The cursor's lock is held for the time of the call. So an endpoint has one delivery at a time, whoever works. The
cursor moves in the transaction that writes the attempt down. A worker that dies in between leaves both undone, and the
event is sent again under the same id. While the lock is held, nothing waits for a lock of the organization: whoever
deletes that waits for this one.
"""

import random
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Final
from uuid import UUID

import structlog
from django.db import transaction
from django.utils import timezone

import audit.services
from audit.actors import system
from audit.models import Entry
from integrations import prometheus
from integrations.models import WebhookCursor, WebhookDelivery, WebhookEndpoint
from integrations.outside.calls import Answer, CallError, post
from integrations.webhooks.events import body_of_test, event_body, event_id, next_entry
from integrations.webhooks.signing import signed_headers
from tenancy.models import Organization

log = structlog.get_logger(__name__)

GIVE_UP_AFTER: Final = timedelta(hours=24)
FIRST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 3600.0
_GONE: Final = 410
_MOST_ERROR_CHARACTERS: Final = 500
_MOST_DIGITS: Final = 9
_State = WebhookDelivery.State


class Outcome(Enum):
    """What became of one visit to an endpoint."""

    IDLE = "there is nothing to do, it is not due, or another worker is at it"
    DELIVERED = "something was delivered, and there may be more"
    FAILED = "the attempt failed"


def pause_seconds(attempts: int) -> float:
    """How long to wait after so many failed attempts. Chance spreads endpoints that failed together."""
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(attempts - 1, 20))
    return longest * random.uniform(0.5, 1)  # noqa: S311 - no secret


def deliver_next(endpoint_id: UUID) -> Outcome:
    """Make one attempt for the endpoint, if one is due. It lasts as long as the call."""
    outcome = _deliver_next(endpoint_id)
    if outcome is Outcome.FAILED:
        _disable_if_lost(endpoint_id)
    return outcome


@transaction.atomic
def _deliver_next(endpoint_id: UUID) -> Outcome:
    cursor = (
        WebhookCursor.objects.select_for_update(of=("self",), skip_locked=True)
        .select_related("endpoint__organization")
        .filter(pk=endpoint_id)
        .first()
    )
    if cursor is None:
        return Outcome.IDLE
    endpoint = cursor.endpoint
    asked = endpoint.deliveries.filter(state=_State.WAITING).order_by("id").first()
    if asked is not None:
        return _deliver_asked(cursor, asked)
    if not endpoint.enabled or (cursor.due_at is not None and cursor.due_at > timezone.now()):
        return Outcome.IDLE
    before = cursor.position
    entry = next_entry(cursor, endpoint)
    if entry is None:
        if cursor.position != before:
            cursor.save(update_fields=["position"])
        return Outcome.IDLE
    delivery = WebhookDelivery(
        endpoint=endpoint,
        event_id=event_id(entry),
        event_type=entry.action,
        position=entry.position,
        attempt=cursor.attempts + 1,
    )
    _send(delivery, event_body(endpoint, entry))
    delivery.save(force_insert=True)
    if delivery.state == _State.DELIVERED:
        _go_on(cursor, entry.position)
        return Outcome.DELIVERED
    _wait(cursor, delivery)
    return Outcome.FAILED


def request_body(delivery: WebhookDelivery) -> bytes:
    """The body of an attempt, made anew from the row of the log, which never changes."""
    if delivery.position is None:
        return body_of_test(delivery.endpoint, delivery.created_at)
    rows = Entry.objects.filter(organization_id=delivery.endpoint.organization_id)
    return event_body(delivery.endpoint, rows.get(position=delivery.position))


def _deliver_asked(cursor: WebhookCursor, delivery: WebhookDelivery) -> Outcome:
    delivery.endpoint = cursor.endpoint
    _send(delivery, request_body(delivery))
    delivery.save()
    if delivery.state == _State.DELIVERED and cursor.due_at is not None:
        # The receiver is back, so what waits behind a failure need not wait any longer.
        cursor.due_at = None
        cursor.save(update_fields=["due_at"])
    # Somebody waits for it; what else is due follows at once, whatever became of it.
    return Outcome.DELIVERED


def _send(delivery: WebhookDelivery, body: bytes) -> None:
    now, began = timezone.now(), time.monotonic()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "FlagShip-Webhooks/1",
        **signed_headers(delivery.endpoint, delivery.event_id, body, now),
    }
    delivery.request_headers, delivery.sent_at = headers, now
    try:
        answer = post(delivery.endpoint.url, body, headers)
    except CallError as error:
        delivery.error = _storable(str(error))[:_MOST_ERROR_CHARACTERS]
    else:
        _keep(delivery, answer)
    delivery.duration_ms = round((time.monotonic() - began) * 1000)
    delivery.state = _State.FAILED if delivery.error else _State.DELIVERED
    prometheus.WEBHOOK_DELIVERIES.labels(delivery.state).inc()
    prometheus.WEBHOOK_SECONDS.observe(delivery.duration_ms / 1000)
    log.info(
        "webhook_delivery",
        endpoint=str(delivery.endpoint_id),
        event_id=delivery.event_id,
        state=delivery.state,
        attempt=delivery.attempt,
        milliseconds=delivery.duration_ms,
    )


def _keep(delivery: WebhookDelivery, answer: Answer) -> None:
    delivery.response_status = answer.status
    delivery.response_headers = {_storable(name): _storable(value) for name, value in answer.headers.items()}
    delivery.response_body = _storable(answer.body.decode(errors="replace"))
    if 300 <= answer.status < 400:
        delivery.error = f"It answered {answer.status}. Redirects are not followed; enter the address itself."
    elif not 200 <= answer.status < 300:
        delivery.error = f"It answered {answer.status}; only 200 to 299 say that an event was taken."


def _storable(text: str) -> str:
    """PostgreSQL stores no NUL and no half of a character."""
    return text.replace("\x00", "�").encode(errors="replace").decode()


def _go_on(cursor: WebhookCursor, position: int) -> None:
    cursor.position = position
    cursor.attempts, cursor.failing_since, cursor.due_at = 0, None, None
    cursor.save()


def _wait(cursor: WebhookCursor, delivery: WebhookDelivery) -> None:
    now = timezone.now()
    cursor.attempts += 1
    cursor.failing_since = cursor.failing_since or delivery.sent_at or now
    pause = max(pause_seconds(cursor.attempts), _asked_seconds(delivery.response_headers, now))
    cursor.due_at = now + timedelta(seconds=pause)
    cursor.save()


def _asked_seconds(headers: dict[str, str], now: datetime) -> float:
    """How long the receiver asks to be left alone (`Retry-After`), at most an hour; 0 where it asks for nothing."""
    text = next((value.strip() for name, value in headers.items() if name.lower() == "retry-after"), "")
    seconds = 0.0
    if text.isascii() and text.isdigit():
        seconds = float(text[:_MOST_DIGITS])
    elif text:
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return 0.0
        seconds = (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()
    return min(max(seconds, 0.0), LONGEST_PAUSE_SECONDS)


@transaction.atomic
def _disable_if_lost(endpoint_id: UUID) -> None:
    """Switch the endpoint off where it is gone, or failed for a day. What was not delivered stays behind the cursor."""
    lost = WebhookCursor.objects.filter(pk=endpoint_id, endpoint__enabled=True)
    reason = _reason_to_disable(lost.first())
    if reason is None:
        return
    # In the order of whoever deletes an organization: it first, then the cursor, then the chain of the log.
    here = Organization.objects.select_for_update(no_key=True).filter(webhooks=endpoint_id)
    if here.first() is None:
        return
    cursor = lost.select_for_update(of=("self",)).select_related("endpoint__organization").first()
    if cursor is None or _reason_to_disable(cursor) is not reason:
        return
    endpoint = cursor.endpoint
    endpoint.enabled, endpoint.disabled_reason = False, reason
    endpoint.version += 1
    endpoint.save(update_fields=["enabled", "disabled_reason", "version", "updated_at"])
    audit.services.record(
        actor=system("webhooks"),
        action="webhook.disabled",
        at=endpoint,
        key=str(endpoint.pk),
        after={
            "name": endpoint.name,
            "why": reason.label,
            "failingSince": cursor.failing_since,
            "attempts": cursor.attempts,
        },
        reason=reason.label,
    )


def _reason_to_disable(cursor: WebhookCursor | None) -> WebhookEndpoint.Disabled | None:
    if cursor is None or cursor.failing_since is None:
        return None
    latest = WebhookDelivery.objects.filter(endpoint=cursor.pk, kind=WebhookDelivery.Kind.EVENT).order_by("-id")
    if latest.values_list("response_status", flat=True).first() == _GONE:
        return WebhookEndpoint.Disabled.GONE
    has_failed_for_good = timezone.now() - cursor.failing_since >= GIVE_UP_AFTER
    return WebhookEndpoint.Disabled.FAILED if has_failed_for_good else None
