"""Parts of the OpenAPI document that no serializer describes: events, the snapshot, headers, tags."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
from openflagship.stream_kinds import STREAM_KINDS
from openflagship.wire import routes

from analytics.api.bodies import ConversionIn, ExposureIn, MetricIn
from analytics.api.usage import UsageIn

_REF = "#/components/schemas/"
_REMARK = {
    "type": "object",
    "required": ["index", "code", "detail"],
    "properties": {
        "index": {"type": "integer", "description": "Of the event in the batch."},
        "code": {"type": "string"},
        "detail": {"type": "string"},
    },
}
_ACCEPTED = {
    "type": "object",
    "required": ["accepted", "rejected"],
    "properties": {
        "accepted": {"type": "integer"},
        "rejected": {"type": "array", "items": {"$ref": f"{_REF}EventRemark"}},
        "warnings": {
            "type": "array",
            "items": {"$ref": f"{_REF}EventRemark"},
            "description": "Events that were taken, and of which something looks wrong.",
        },
    },
}
_STREAM_EVENT = {
    "type": "object",
    "description": "One server-sent event. `data` is JSON text.",
    "required": ["event", "data"],
    "properties": {
        "id": {"type": "integer", "description": "The environment's configuration version."},
        "event": {"type": "string", "enum": list(STREAM_KINDS)},
        "data": {"type": "string"},
    },
}
HEADERS: dict[str, Any] = {
    "RequestId": {"description": "The request's id: yours, or one that was made.", "schema": {"type": "string"}},
    "RateLimitLimit": {"description": "Requests a minute.", "schema": {"type": "integer"}},
    "RateLimitRemaining": {"description": "Requests that are left.", "schema": {"type": "integer"}},
    "RateLimitReset": {"description": "Seconds until all are there again.", "schema": {"type": "integer"}},
    "RetryAfter": {"description": "Seconds to wait.", "schema": {"type": "integer"}},
    "ETag": {"description": "For If-None-Match.", "schema": {"type": "string"}},
    "Signature": {"description": "sha256=<HMAC of the uncompressed body>.", "schema": {"type": "string"}},
    "IdempotencyReplayed": {
        "description": "true where this is the first answer again.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same request under the same key is done once in 24 hours, and answered alike.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
API_KEY: dict[str, Any] = {
    "type": "apiKey",
    "in": "header",
    "name": "X-API-Key",
    "description": "A server or client key, as OpenFeature's clients send it.",
}
TAGS = {
    "audit": "Who did what.",
    "auth": "Tokens of service accounts.",
    "change-requests": "Changes that wait for reviews.",
    "configs": "A whole environment, for evaluators.",
    "credentials": "Keys and tokens.",
    "edge": "What an edge asks the server for.",
    "environments": "Where flags are served.",
    "event-types": "What webhooks can be told of.",
    "evaluate": "Answers for a user.",
    "events": "Exposures and conversions.",
    "experiments": "Questions about flags, and their results.",
    "flags": "Flags and their history.",
    "follows": "What a person wants to hear of.",
    "freezes": "When nothing is published.",
    "kill": "The kill switch of many flags.",
    "layers": "Experiments that exclude each other.",
    "members": "People and their roles.",
    "metrics": "What is measured.",
    "notification-settings": "How a person is told.",
    "ofrep": "OpenFeature Remote Evaluation Protocol.",
    "organizations": "Tenants.",
    "privacy": "A person's data.",
    "projects": "Flags of one product.",
    "rollout-plans": "Rollout plans of an environment; a flag's own stands below the flag.",
    "rollout-templates": "Named steps.",
    "scheduled-changes": "Changes at an instant, or again and again.",
    "segments": "Groups of users.",
    "service-accounts": "Accounts for programs.",
    "snapshot": "A whole environment, for evaluators.",
    "stream": "Changes as they happen.",
    "webhooks": "Addresses that are told of events.",
}
_EVALUATE = ("/api/evaluate", "/api/flags/evaluate")
_NOT_IDEMPOTENT = (*_EVALUATE, "/api/auth", "/api/stream", "/ofrep/")


@cache
def schemas() -> dict[str, Any]:
    """By name. Events come from the types by which they are read, the snapshot from the engine's contract."""
    kinds = {"ExposureEvent": ExposureIn, "ConversionEvent": ConversionIn, "MetricEvent": MetricIn}
    _, found = msgspec.json.schema_components(kinds.values(), ref_template=f"{_REF}{{name}}")
    events = {name: {**found[kind.__name__], "title": name} for name, kind in kinds.items()}
    events |= _usage()
    contract = json.loads(files("openflagship.engine").joinpath("snapshot.schema.json").read_text())
    parts = {f"Snapshot{name[0].upper()}{name[1:]}": part for name, part in contract.pop("$defs").items()}
    whole = {name: part for name, part in contract.items() if not name.startswith("$")}
    return {
        **events,
        "EventRemark": _REMARK,
        "EventsAccepted": _ACCEPTED,
        "StreamEvent": _STREAM_EVENT,
        **{name: _renamed(part) for name, part in {"Snapshot": whole, **parts}.items()},
    }


def _usage() -> dict[str, Any]:
    (summary,), parts = msgspec.json.schema_components([UsageIn], ref_template=f"{_REF}{{name}}")
    return {"UsageSummary": {**parts.pop(summary["$ref"].removeprefix(_REF)), "title": "UsageSummary"}, **parts}


def _renamed(node: Any) -> Any:
    """Let a contract's references lead to the document's components, and a choice of types be one of schemas."""
    if isinstance(node, list):
        return [_renamed(item) for item in node]
    if not isinstance(node, dict):
        return node
    kinds = node.get("type")
    if isinstance(kinds, list) and "null" not in kinds:
        # Generators of clients read one type, or a choice of schemas.
        rest = {name: value for name, value in node.items() if name != "type"}
        return {**rest, "anyOf": [{"type": kind} for kind in kinds]}
    return {name: _reference(value) if name == "$ref" else _renamed(value) for name, value in node.items()}


def _reference(text: Any) -> Any:
    if not isinstance(text, str) or not text.startswith("#/$defs/"):
        return _renamed(text)
    name = text.removeprefix("#/$defs/")
    return f"{_REF}Snapshot{name[0].upper()}{name[1:]}"


def tag_of(path: str) -> str:
    """The noun that a route is about."""
    if path.startswith("/ofrep/"):
        return "ofrep"
    if path.startswith(_EVALUATE):
        return "evaluate"
    noun = path.removeprefix("/api/").partition("/")[0]
    return "stream" if path == "/api/events" else noun


def alternatives(path: str, together: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The credentials of an operation, of which a client presents one. The data plane takes keys alone."""
    if not any(together):
        return []
    if not is_idempotent(path) or path.startswith(("/api/events", "/api/snapshot", "/api/configs")):
        return [{"bearer": []}, {"apiKey": []}]
    return [{name: scopes} for each in together for name, scopes in each.items()]


def is_idempotent(path: str) -> bool:
    return not path.startswith(_NOT_IDEMPOTENT) or path.endswith("/preview")


def headers_of(path: str, method: str, status: str) -> dict[str, Any]:
    """The headers of one answer, as references."""
    names = {
        "X-Request-ID": "RequestId",
        "RateLimit-Limit": "RateLimitLimit",
        "RateLimit-Remaining": "RateLimitRemaining",
        "RateLimit-Reset": "RateLimitReset",
    }
    if status in {"429", "503"}:
        names["Retry-After"] = "RetryAfter"
    if method == "post" and status.startswith("2") and is_idempotent(path):
        names["Idempotency-Replayed"] = "IdempotencyReplayed"
    if path.startswith(tuple(f"/api/{template.partition('{')[0]}" for template in routes.SNAPSHOT.templates)):
        if status in {"200", "304"}:
            names["ETag"] = "ETag"
        if status == "200":
            names["X-Signature"] = "Signature"
    return {header: {"$ref": f"#/components/headers/{name}"} for header, name in names.items()}
