"""`Idempotency-Key`: a POST sent again within 24 hours gets the first answer again, and its work is done once.

The answer is stored in the transaction of the work, so neither exists without the other.
"""

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from rest_framework.response import Response

from audit.export_formats import json_bytes
from tenancy.api.request import Request
from tenancy.callers.principals import Principal
from tenancy.errors import Conflict, Forbidden, Invalid, OutOfReach, ServiceError
from tenancy.models import IdempotentRequest

KEPT = timedelta(hours=24)
# A secret is shown once: it is not stored with the answer, so a repeated answer has null.
_SECRETS = ("secret", "clientSecret")


def idempotent(post: Callable[..., Response]) -> Callable[..., Response]:
    """Wrap a view's `post` so that it honours the header."""

    @wraps(post)
    def wrapped(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get("Idempotency-Key")
        if key is None or not isinstance(request.user, Principal):
            return post(view, request, *args, **kwargs)
        if not 1 <= len(key) <= 255:
            raise Invalid("Send an Idempotency-Key of 1 to 255 characters.", attr="Idempotency-Key")
        answer = _once(request, key, lambda: post(view, request, *args, **kwargs))
        if isinstance(answer, ServiceError):
            raise answer
        return answer

    return wrapped


@transaction.atomic
def _once(request: Request, key: str, act: Callable[[], Response]) -> Response | ServiceError:
    """Return the answer, or a refusal that is to be raised once its work is committed. No refusal is kept."""
    actor = request.user.actor
    scope = f"{actor.kind}:{actor.id}:{request.user.organization_id or ''}"
    with connection.cursor() as cursor:
        # Of two at once the second waits here until the first has committed, and then finds its answer.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{scope}:{key}"])
    IdempotentRequest.objects.filter(created_at__lt=timezone.now() - KEPT).delete()
    fingerprint = _fingerprint(request)
    stored = IdempotentRequest.objects.filter(scope=scope, key=key).first()
    if stored is not None:
        if stored.fingerprint != fingerprint:
            raise Conflict(
                "This Idempotency-Key was used for another request within 24 hours; use a new one.",
                code="idempotency_conflict",
                attr="Idempotency-Key",
            )
        _ask_permission(act)
        return Response(stored.body, status=stored.status, headers={"Idempotency-Replayed": "true"})
    try:
        response = act()
    except ServiceError as refusal:
        if not refusal.is_work_kept:
            raise
        return refusal
    IdempotentRequest.objects.create(
        scope=scope,
        key=key,
        fingerprint=fingerprint,
        status=response.status_code,
        body=_storable(response.data),
    )
    return response


def _ask_permission(act: Callable[[], Response]) -> None:
    """Raise Forbidden or OutOfReach where the caller may no longer do it. The work is tried, and undone."""
    try:
        with transaction.atomic():
            act()
            transaction.set_rollback(True)
    except (Forbidden, OutOfReach):
        raise
    except ServiceError:
        # It may, or the state has changed since, as the first time brought about.
        return


def _fingerprint(request: Request) -> str:
    sent = json_bytes([request.get_full_path(), request.data], is_sorted=True)
    return hashlib.sha256(sent).hexdigest()


def _storable(data: Any) -> Any:
    body = json.loads(json_bytes(data))
    if isinstance(body, dict):
        body.update({name: None for name in _SECRETS if name in body})
    return body
