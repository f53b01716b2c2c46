"""The HTTP side of the stream process: raw ASGI, so that ten thousand streams are ten thousand small coroutines."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson
import structlog
from openflagship.ids import uuid7

from flags.propagation import readiness
from flags.propagation.acknowledgements import ACKNOWLEDGEMENTS, parse
from flags.propagation.runtime import RUNTIME
from flags.streaming import ofrep
from flags.streaming.client import Client
from flags.streaming.hub import HUB, UnknownEnvironmentError
from flags.streaming.stream_events import KEEP_ALIVE, StreamEvent, retry
from tenancy.api.authentication import presented_secret
from tenancy.keyring import KEYRING, Key

log = structlog.get_logger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    # nginx would otherwise hold events back until a buffer is full.
    (b"x-accel-buffering", b"no"),
]
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,100}\Z")
_ROUTE = re.compile(r"/(?:api|v1)/stream(?P<rest>/[^/]+)?")
_RETRY_MILLISECONDS = (1_000, 3_000)
_ACKNOWLEDGEMENT_BYTES = 4_096
_CODES = {
    400: "invalid",
    401: "not_authenticated",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
    503: "unavailable",
}
# Of a body that is no JSON: nothing in it could be validated.
_UNREADABLE = "parse_error"


class RefusedError(Exception):
    """A refusal with its status; the message is for the caller to read."""

    def __init__(self, status: int, detail: str, *, code: str | None = None, attr: str | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.attr = status, code or _CODES[status], attr


def header(scope: Scope, name: bytes) -> str:
    for found, value in scope["headers"]:
        if found == name:
            return str(value.decode("latin-1"))
    return ""


def authenticate(scope: Scope) -> Key:
    """The live server key that was presented. Raises RefusedError; needs no database and no Redis."""
    secret = presented_secret(header(scope, b"authorization"), header(scope, b"x-api-key"))
    key = KEYRING.find(secret) if secret else None
    if key is None:
        raise RefusedError(401, "The credential is unknown, expired or revoked. Send `Authorization: Bearer fs_…`.")
    if key.kind != "server" or key.environment_id is None:
        raise RefusedError(403, "Streams are for server keys: with them come the rules, which stay private.")
    tenant = header(scope, b"x-tenant-id")
    if tenant and tenant != key.organization_slug:
        raise RefusedError(403, "X-Tenant-ID names another organization than the credential belongs to.")
    return key


def admit(key: Key, named: str) -> None:
    """Refuse while this process has nothing to tell, and a path that names another environment than the key's."""
    environment = RUNTIME.environments.get(key.environment_id or 0)
    if environment is None:
        raise RefusedError(503, "This process has not heard of the environment's configuration yet.")
    if HUB.is_draining:
        raise RefusedError(503, "This process is being replaced; connect again.")
    if named and environment.header.get("key") != named:
        raise RefusedError(404, f"There is no environment {named!r}, or it belongs to another tenant.")


def last_version(text: str) -> int | None:
    """A `Last-Event-ID` as a version; None, which asks for a snapshot, for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


async def respond(
    send: Send,
    status: int,
    body: Any,
    *,
    content_type: str = "application/json",
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> None:
    """Send a whole response: bytes as they are, anything else as JSON."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    start = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(content)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": content})


async def refuse(send: Send, error: RefusedError, request_id: str) -> None:
    kind = "server_error" if error.status >= 500 else "client_error"
    if error.status == 400 and error.code != _UNREADABLE:
        kind = "validation_error"
    problem = {"code": error.code, "detail": str(error), "attr": error.attr}
    retry_after = ((b"retry-after", b"1"),) if error.status == 503 else ()
    await respond(
        send,
        error.status,
        {"type": kind, "errors": [problem], "requestId": request_id},
        headers=((b"x-request-id", request_id.encode()), *retry_after),
    )


async def stream(scope: Scope, receive: Receive, send: Send, *, named: str, request_id: str) -> None:
    """Answer `GET stream` for as long as both sides want to."""
    key = authenticate(scope)
    admit(key, named)
    client = Client(
        key,
        instance=header(scope, b"x-flagship-instance")[:100],
        sdk=header(scope, b"x-flagship-sdk")[:100],
        abort=_abort(scope),
    )
    await _follow(
        client,
        last_version(header(scope, b"last-event-id")),
        lambda events: b"".join([event.sse for event in events]),
        [*_STREAM_HEADERS, (b"x-request-id", request_id.encode())],
        receive,
        send,
    )


async def ofrep_stream(scope: Scope, receive: Receive, send: Send, *, request_id: str) -> None:
    """Answer `GET /ofrep/v1/stream?token=`: to server and client keys alike, since it tells no rules."""
    key = ofrep.key_of(scope["query_string"])
    if key is None:
        raise RefusedError(401, "The token is unknown or too old. A bulk evaluation names a stream with a new one.")
    admit(key, "")
    last = last_version(header(scope, b"last-event-id"))
    if last is None:
        # Whoever comes for the first time has just evaluated.
        last = RUNTIME.environments[key.environment_id or 0].version
    await _follow(
        Client(key, abort=_abort(scope)),
        last,
        ofrep.content_of,
        [*_STREAM_HEADERS, (b"access-control-allow-origin", b"*"), (b"x-request-id", request_id.encode())],
        receive,
        send,
    )


def _abort(scope: Scope) -> Callable[[], None] | None:
    transport = scope.get("state", {}).get("transport")
    return transport.abort if transport is not None else None


async def _follow(  # noqa: PLR0917 - two callers, and each names what it gives
    client: Client,
    last: int | None,
    content_of: Callable[[list[StreamEvent]], bytes],
    headers: list[tuple[bytes, bytes]],
    receive: Receive,
    send: Send,
) -> None:
    """Send what `client` is offered after version `last`, for as long as both sides want to."""
    try:
        await HUB.join(client, last)
    except UnknownEnvironmentError as error:
        raise RefusedError(503, "This process has not heard of the environment's configuration yet.") from error
    watcher = asyncio.ensure_future(_close_when_gone(receive, client))
    try:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        # Spread, so that the clients of a process that dies do not all come back in the same instant.
        first = retry(random.randint(*_RETRY_MILLISECONDS))  # noqa: S311 - jitter, not a secret
        await send({"type": "http.response.body", "body": first, "more_body": True})
        while not client.is_closed:
            content = content_of(await client.take()) or (KEEP_ALIVE if client.needs_keep_alive else b"")
            client.needs_keep_alive = False
            if content:
                await send({"type": "http.response.body", "body": content, "more_body": True})
        if not client.is_slow:
            told = b"" if client.retry_milliseconds is None else retry(client.retry_milliseconds)
            await send({"type": "http.response.body", "body": told, "more_body": False})
    finally:
        client.close()
        HUB.leave(client)
        watcher.cancel()


async def acknowledge(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer `POST stream/ack`."""
    key = authenticate(scope)
    body, is_more = b"", True
    while is_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, is_more = body + message.get("body", b""), message.get("more_body", False)
        if len(body) > _ACKNOWLEDGEMENT_BYTES:
            raise RefusedError(413, "An acknowledgement takes less than 4 KiB.")
    try:
        instance, version, sdk = parse(orjson.loads(body))
    except orjson.JSONDecodeError as error:
        raise RefusedError(400, f"The body is not valid JSON: {error}.", code=_UNREADABLE) from error
    except ValueError as error:
        raise RefusedError(400, str(error)) from error
    ACKNOWLEDGEMENTS.add(key.environment_id, instance, sdk, version)
    await respond(send, 202, {"instance": instance, "version": version})


async def _close_when_gone(receive: Receive, client: Client) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    client.close()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Every HTTP route of the stream process."""
    given = header(scope, b"x-request-id")
    request_id = given if _REQUEST_ID.match(given) else str(uuid7())
    path, method = scope["path"], scope["method"]
    match = _ROUTE.fullmatch(path)
    try:
        if path == "/healthz":
            await respond(send, 200, {"status": "ok"})
        elif path == "/readyz":
            status, body = readiness.report()
            await respond(send, status, body)
        elif path == ofrep.PATH and method == "GET":
            await ofrep_stream(scope, receive, send, request_id=request_id)
        elif match is None:
            await refuse(send, RefusedError(404, "Here is /api/stream, and nothing else."), request_id)
        elif method != ("POST" if match["rest"] == "/ack" else "GET"):
            await refuse(send, RefusedError(405, "Streams are read with GET, acknowledged with POST."), request_id)
        elif method == "POST":
            await acknowledge(scope, receive, send)
        else:
            await stream(scope, receive, send, named=(match["rest"] or "")[1:], request_id=request_id)
    except RefusedError as error:
        await refuse(send, error, request_id)
