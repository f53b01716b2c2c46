"""The `webhooks` of the OpenAPI document, made from the registry of event types."""

from typing import Any

from integrations.event_types import EventType, event_types

_REF = "#/components/schemas/"
_HEADERS = {
    "webhook-id": "The event's own: the same on every attempt.",
    "webhook-timestamp": "When this attempt was made, in Unix seconds.",
    "webhook-signature": "v1,<base64 of the HMAC-SHA256 of id.timestamp.body>; two of them while a secret rotates.",
}


def webhooks() -> dict[str, Any]:
    """By the event's name, what a receiver is sent."""
    return {found.name: {"post": _operation(found)} for found in event_types()}


def _operation(found: EventType) -> dict[str, Any]:
    return {
        "operationId": f"webhook_{found.name.replace('.', '_')}",
        "summary": found.label,
        "description": f"Sent when {found.documentation}.",
        "tags": ["webhooks"],
        "security": [],
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
            for name, text in _HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _event(found)}}},
        "responses": {"2XX": {"description": "The event was taken. Whatever else is answered, it is sent again."}},
    }


def _event(found: EventType) -> dict[str, Any]:
    states = {"type": "null"} if found.states is None else {"anyOf": [found.states, {"type": "null"}]}
    own = {
        "type": "object",
        "required": ["organization"],
        "properties": {
            "organization": {"type": "string", "description": "The slug."},
            "action": {"const": found.name},
            "entity": {"const": found.entity},
            "before": states,
            "after": states,
        },
    }
    return {
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"const": found.name},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": {"allOf": [{"$ref": f"{_REF}AuditEntry"}, own]},
        },
    }
