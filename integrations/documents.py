"""What the API answers for webhooks, deliveries and a person's settings. The audit log stores a webhook's document."""

import hashlib
import hmac
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from integrations.models import Follow, NotificationSetting, WebhookDelivery, WebhookEndpoint

_MARK_CHARACTERS = 8


def webhook_resource(endpoint: WebhookEndpoint) -> dict[str, Any]:
    """Return a webhook without its secret, which only the answers to its making and rotation have."""
    cursor = endpoint.cursor
    return {
        "id": str(endpoint.pk),
        "name": endpoint.name,
        "url": endpoint.url,
        "events": endpoint.events,
        "projects": endpoint.projects,
        "environments": endpoint.environments,
        "tags": endpoint.tags,
        "enabled": endpoint.enabled,
        "disabledReason": endpoint.get_disabled_reason_display() if endpoint.disabled_reason else None,
        "failingSince": cursor.failing_since,
        "failedAttempts": cursor.attempts,
        "nextAttemptAt": cursor.due_at if endpoint.enabled else None,
        "previousSecretUntil": endpoint.previous_secret_until,
        "createdBy": endpoint.created_by,
        "version": endpoint.version,
        "createdAt": endpoint.created_at,
        "updatedAt": endpoint.updated_at,
    }


# How deliveries go is no part of a change.
_NOT_AUDITED = ("failingSince", "failedAttempts", "nextAttemptAt", "previousSecretUntil", "updatedAt")


def audited_webhook(endpoint: WebhookEndpoint) -> dict[str, Any]:
    """The document as the audit log has it: more people read that than may know the whole address."""
    document = {name: value for name, value in webhook_resource(endpoint).items() if name not in _NOT_AUDITED}
    return {**document, "url": shown_url(endpoint.url)}


def shown_url(url: str) -> str:
    """The host, and a mark by which a change of the rest shows: the path is often a secret."""
    parts = urlsplit(url)
    mark = hmac.digest(settings.SECRET_KEY.encode(), b"flagship.webhook.url:" + url.encode(), hashlib.sha256).hex()
    return f"{parts.scheme}://{parts.netloc}/… ({mark[:_MARK_CHARACTERS]})"


def delivery_resource(delivery: WebhookDelivery) -> dict[str, Any]:
    return {
        "id": str(delivery.pk),
        "kind": delivery.kind,
        "state": delivery.state,
        "eventId": delivery.event_id,
        "eventType": delivery.event_type,
        "attempt": delivery.attempt,
        "responseStatus": delivery.response_status,
        "error": delivery.error,
        "durationMs": delivery.duration_ms,
        "createdAt": delivery.created_at,
        "sentAt": delivery.sent_at,
    }


def whole_delivery(delivery: WebhookDelivery, request_body: str) -> dict[str, Any]:
    """The delivery with all that was sent and answered."""
    return {
        **delivery_resource(delivery),
        "requestHeaders": delivery.request_headers,
        "requestBody": request_body,
        "responseHeaders": delivery.response_headers,
        "responseBody": delivery.response_body,
    }


def notification_setting_resource(setting: NotificationSetting) -> dict[str, Any]:
    return {
        "channel": setting.channel,
        "url": setting.url,
        "mine": setting.mine,
        "followed": setting.followed,
        "problem": setting.problem,
    }


def follow_resource(follow: Follow) -> dict[str, Any]:
    return {
        "id": str(follow.pk),
        "kind": follow.kind,
        "project": follow.project,
        "key": follow.key,
        "createdAt": follow.created_at,
    }
