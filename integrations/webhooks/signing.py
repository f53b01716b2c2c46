"""Signatures as Standard Webhooks has them, with two secrets valid at once while they are rotated.

A secret is derived from SECRET_KEY, the endpoint and a generation number, as the secrets of snapshots are. So a copy of
the database is not enough to forge a signature. While SECRET_KEY_FALLBACKS names former keys, their secrets sign too.
"""

import base64
import hmac
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from integrations.models import WebhookEndpoint

PREFIX: Final = "whsec_"
PREVIOUS_VALID: Final = timedelta(hours=24)


def secret_of(endpoint: WebhookEndpoint) -> str:
    """The secret in use, as the receiver has it."""
    return PREFIX + base64.b64encode(_key(settings.SECRET_KEY, endpoint.pk, endpoint.generation)).decode()


def _key(secret_key: str, endpoint_id: UUID, generation: int) -> bytes:
    return hmac.digest(secret_key.encode(), f"flagship.webhook:{endpoint_id}:{generation}".encode(), "sha256")


def _keys(endpoint: WebhookEndpoint) -> list[bytes]:
    generations = [endpoint.generation]
    if endpoint.previous_secret_until is not None and endpoint.previous_secret_until > timezone.now():
        generations.append(endpoint.generation - 1)
    return [
        _key(secret_key, endpoint.pk, generation)
        for secret_key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
        for generation in generations
    ]


def signed_headers(endpoint: WebhookEndpoint, event_id: str, body: bytes, at: datetime) -> dict[str, str]:
    """`webhook-id`, `webhook-timestamp` and `webhook-signature`, with a signature by each valid secret."""
    timestamp = str(int(at.timestamp()))
    signed = b".".join([event_id.encode(), timestamp.encode(), body])
    signatures = [base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in _keys(endpoint)]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
