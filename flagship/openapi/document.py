"""The OpenAPI document: who may call, what every route shares, and types for what no serializer describes.

The alias `/v1/` is left out.
"""

import threading
from typing import Any

from django.http import HttpResponse
from django.utils.encoding import force_bytes
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.request import Request

from flagship.openapi import parts
from flagship.openapi.webhooks import webhooks
from tenancy.process_memory import on_reset

_ERROR = {
    "type": "object",
    "description": "Every refusal has this form; `current` comes with a conflict and is what is there now.",
    "required": ["type", "errors", "requestId"],
    "properties": {
        "type": {"type": "string", "enum": ["validation_error", "client_error", "server_error"]},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["code", "detail", "attr"],
                "properties": {
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                    "attr": {"type": ["string", "null"], "description": "The field's path, as in rules[0].priority."},
                },
            },
        },
        "requestId": {"type": "string"},
        "current": {},
    },
}
_ALWAYS = {
    "400": "Something that was sent is wrong; each problem names its field.",
    "401": "No credential, or one that is unknown, expired or revoked.",
    "403": "The credential's role does not allow this.",
    "404": "No such object, or another tenant's.",
    "429": "Too many requests; Retry-After says when to come back.",
    "503": "A server this needs is away; Retry-After says when to come back.",
}
_WITH_BODY = {
    "409": "The object's present state forbids this; see the code.",
    "413": "The body is too large.",
    "415": "The body is not application/json.",
}
_ALIASES = ("/api/orgs", "/api/evaluate/preview")
_METHODS = {"get", "put", "post", "delete", "patch"}


class SchemaView(SpectacularAPIView):
    """The OpenAPI document, made once by each process: it is the same for everybody until the next release."""

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:  # noqa: ARG002 - the library's signature
        renderer = request.accepted_renderer
        kind = str(renderer.media_type)
        with _making:
            if kind not in _made:
                answer = self._get_schema_response(request)
                content = force_bytes(
                    renderer.render(answer.data, kind, {"view": self, "request": request, "response": answer})
                )
                _made[kind] = content, {name: str(value) for name, value in answer.headers.items()}
        content, headers = _made[kind]
        return HttpResponse(content, headers={**headers, "Content-Type": kind, "Cache-Control": "max-age=300"})

    def _get_version_parameter(self, request: Request) -> None:
        """One document, whatever version the address asks for."""


_making = threading.Lock()
# By media type: the document and its headers.
_made: dict[str, tuple[bytes, dict[str, str]]] = {}
on_reset(_made.clear)


class CredentialScheme(OpenApiAuthenticationExtension):
    """How a credential is presented."""

    target_class = "tenancy.api.authentication.CredentialAuthentication"
    name = ["bearer", "session"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:  # noqa: ARG002 - the library's signature
        bearer = "A server key, a client key, a management token, or a JWT from auth/token."
        return [
            {"type": "http", "scheme": "bearer", "description": bearer},
            {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": "The console's session."},
        ]


def leave_out_the_alias(endpoints: list[Any], **_: Any) -> list[Any]:
    """Describe each route once, below `/api/` and under its first name; `/v1/` serves the same."""
    listed = [endpoint for endpoint in endpoints if endpoint[0].startswith(("/api/", "/ofrep/"))]
    return [endpoint for endpoint in listed if not endpoint[0].startswith(_ALIASES)]


def say_anything_once(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Any JSON value includes null. The library's `oneOf` of both would refuse null, because it fits twice."""
    _simplify(result)
    return result


def _simplify(node: Any) -> None:
    if isinstance(node, dict):
        if node.get("oneOf") == [{}, {"type": "null"}]:
            del node["oneOf"]
        for child in node.values():
            _simplify(child)
    elif isinstance(node, list):
        for child in node:
            _simplify(child)


def finish(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add types, headers, tags, and the credentials as alternatives: a client presents one of them."""
    components = result["components"]
    components.setdefault("schemas", {}).update(parts.schemas())
    components["headers"] = parts.HEADERS
    result["webhooks"] = webhooks()
    components["securitySchemes"]["apiKey"] = parts.API_KEY
    components.setdefault("parameters", {})["IdempotencyKey"] = parts.IDEMPOTENCY_KEY
    used: dict[str, str] = {}
    for path, item in result["paths"].items():
        for method in _METHODS & item.keys():
            operation = item[method]
            tag = parts.tag_of(path)
            operation["tags"] = [tag]
            used[tag] = parts.TAGS.get(tag, "")
            operation["security"] = parts.alternatives(path, operation.get("security", []))
            if method == "post" and parts.is_idempotent(path):
                operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/IdempotencyKey"})
            for status, response in operation["responses"].items():
                response.setdefault("headers", {}).update(parts.headers_of(path, method, status))
    components["responses"] = _share_refusals(result["paths"])
    result["tags"] = [{"name": name, "description": text} for name, text in sorted(used.items())]
    return result


def _share_refusals(paths: dict[str, Any]) -> dict[str, Any]:
    """Describe each refusal that operations have in common once: the document and clients made from it stay small."""
    shared: dict[str, Any] = {}
    for item in paths.values():
        for method in _METHODS & item.keys():
            responses = item[method]["responses"]
            for status, response in responses.items():
                name = f"Refused{status}"
                if status in _ALWAYS | _WITH_BODY and shared.setdefault(name, response) == response:
                    responses[status] = {"$ref": f"#/components/responses/{name}"}
    return shared


def add_refusals(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Document the refusals that all operations share, unless an operation documents its own."""
    result["components"].setdefault("schemas", {})["Error"] = _ERROR
    for item in result["paths"].values():
        for method in _METHODS & item.keys():
            operation = item[method]
            shared = {**_ALWAYS, **(_WITH_BODY if method != "get" else {})}
            for status, description in shared.items():
                content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
                operation["responses"].setdefault(status, {"description": description, "content": content})
    return result
