"""The HTTP side of the stream process: raw ASGI, so that ten thousand streams are ten thousand small coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from django.conf import settings
from django.db import connections
from openflagship.wire import acknowledgements, credentials, routes, sse
from openflagship.wire.asgi import (
    AsgiRequest,
    Receive,
    Scope,
    Send,
    answer_options,
    refusal,
    respond,
    send_part,
    start_stream,
    takes_method,
    watching,
)
from openflagship.wire.errors import RefusedError, method_not_allowed
from openflagship.wire.reading import GoneError

from flags.propagation import readiness
from flags.propagation.acknowledgements import ACKNOWLEDGEMENTS, future_version
from flags.propagation.runtime import RUNTIME
from flags.streaming import edges, ofrep
from flags.streaming.client import Client
from flags.streaming.hub import HUB, UnknownEnvironmentError
from flags.streaming.places import PLACES
from flags.streaming.stream_events import StreamEvent
from tenancy.authentication.keyring import KEYRING, Key
from tenancy.callers import addresses
from tenancy.callers.limits import BUCKETS

DRAINING = "This process is being replaced; connect again."


def authenticate(request: AsgiRequest) -> Key:
    """The live server key that was presented. Raises RefusedError; needs no database and no Redis."""
    secret = credentials.presented_secret(request.header(b"authorization"), request.header(b"x-api-key"))
    key = KEYRING.find(secret) if secret else None
    if key is None:
        raise credentials.unauthenticated(secret)
    if b"x-tenant-id" in request.headers:
        credentials.check_tenant(request.header(b"x-tenant-id"), key.organization_slug)
    return key


async def authenticate_or_ask(request: AsgiRequest) -> Key:
    """As `authenticate`, but asks the database for a key that is not known here yet. Raises RefusedError."""
    try:
        return authenticate(request)
    except RefusedError as error:
        secret = credentials.presented_secret(request.header(b"authorization"), request.header(b"x-api-key"))
        is_new = error.status == 401 and secret and KEYRING.may_be_new(secret)
        if not is_new or not await asyncio.to_thread(_has_news):
            raise
        return authenticate(request)


def _has_news() -> bool:
    """In a worker thread, whose connection would stay open."""
    try:
        return KEYRING.has_news()
    finally:
        connections.close_all()


def admit(key: Key, named: str) -> None:
    """Refuse while this process has nothing to tell, and a path that names another environment than the key's."""
    environment = RUNTIME.environments.get(key.environment_id or 0)
    if environment is None:
        raise RefusedError(503, credentials.NOT_READY)
    if HUB.is_draining:
        raise RefusedError(503, DRAINING)
    credentials.check_environment(named, str(environment.header.get("key", "")))


def client_of(request: AsgiRequest, key: Key) -> Client:
    """The hub's side of a stream that this request opens."""
    transport = request.scope.get("state", {}).get("transport")
    return Client(
        key,
        instance=request.header(b"x-flagship-instance")[:100],
        sdk=request.header(b"x-flagship-sdk")[:100],
        abort=transport.abort if transport is not None else None,
    )


def needs_rules(key: Key) -> None:
    """Refuse a key that may not have the rules. Raises RefusedError."""
    if not key.reads_rules:
        raise RefusedError(403, credentials.NEEDS_SERVER_KEY)


async def _stream(request: AsgiRequest, send: Send, key: Key, named: str) -> None:
    """Answer `GET stream` for as long as both sides want to."""
    admit(key, named)
    last = sse.last_event_id(request.header(b"last-event-id"))
    await _follow(request, send, client_of(request, key), last, _content_of)


async def _ofrep_stream(request: AsgiRequest, send: Send) -> None:
    """Answer OFREP's event stream: for server and client keys alike, because it tells no rules."""
    key = ofrep.key_of(request.parameter("token") or "")
    if key is None:
        raise RefusedError(401, credentials.UNKNOWN_EVENT_STREAM)
    limit(key, request.scope)
    admit(key, "")
    last = sse.last_event_id(request.header(b"last-event-id") or request.parameter("since") or "")
    if last is None:
        # A caller that names no version has just evaluated.
        last = RUNTIME.environments[key.environment_id or 0].version
    await _follow(
        request, send, client_of(request, key), last, ofrep.content_of, (_ANY_ORIGIN,), sse.audible_keep_alive
    )


_ANY_ORIGIN = (b"access-control-allow-origin", b"*")


def _content_of(events: list[StreamEvent]) -> bytes:
    return b"".join([event.sse for event in events])


async def _follow(  # noqa: PLR0917 - two callers, and each names what it gives
    request: AsgiRequest,
    send: Send,
    client: Client,
    last: int | None,
    content_of: Callable[[list[StreamEvent]], bytes],
    headers: Iterable[tuple[bytes, bytes]] = (),
    keep_alive: Callable[[float | None], bytes] = sse.keep_alive,
) -> None:
    """Send what `client` is offered after version `last`, for as long as both sides want to."""
    with PLACES.taken(client.key.prefix, address_of(request.scope)):
        await _send_events(request, send, client, last, content_of, headers, keep_alive)


async def _send_events(  # noqa: PLR0917 - as above
    request: AsgiRequest,
    send: Send,
    client: Client,
    last: int | None,
    content_of: Callable[[list[StreamEvent]], bytes],
    headers: Iterable[tuple[bytes, bytes]],
    keep_alive: Callable[[float | None], bytes],
) -> None:
    try:
        await HUB.join(client, last)
    except UnknownEnvironmentError as error:
        raise RefusedError(503, credentials.NOT_READY) from error
    try:
        async with watching(request, client.close):
            await start_stream(
                send,
                (*sse.HEADERS, *headers, (b"x-request-id", request.identify().encode())),
                sse.first_part(RUNTIME.age_seconds),
            )
            if request.method == "HEAD":
                client.close()
            while not client.is_closed:
                content = content_of(await client.take())
                if client.needs_keep_alive:
                    content += keep_alive(RUNTIME.age_seconds)
                    client.needs_keep_alive = False
                if content:
                    await send_part(send, content)
            if not client.is_slow:
                told = b"" if client.retry_milliseconds is None else sse.retry(client.retry_milliseconds)
                await send_part(send, told, is_last=True)
    finally:
        client.close()
        HUB.leave(client)


async def _edge_stream(request: AsgiRequest, send: Send, key: Key, _named: str) -> None:
    """Answer `GET edge/stream`."""
    if HUB.is_draining:
        raise RefusedError(503, DRAINING)
    with PLACES.taken(key.prefix, address_of(request.scope)):
        await edges.follow(request, send, key)


async def _acknowledge(request: AsgiRequest, send: Send, key: Key, _named: str) -> None:
    """Answer `POST stream/ack`."""
    sent, _ = await request.json(acknowledgements.MAX_BODY_BYTES)
    said = acknowledgements.acknowledgement_of(sent)
    await refuse_future(key, said.version)
    ACKNOWLEDGEMENTS.take(key.environment_id, said)
    await respond(send, 202, said.answer, headers=((b"x-request-id", request.identify().encode()),))


async def refuse_future(key: Key, version: int) -> None:
    """Refuse a version that does not exist yet, as far as the database says. Raises RefusedError."""
    environment = RUNTIME.environments.get(key.environment_id or 0)
    if environment is not None and version > environment.version:
        # Another process may be some milliseconds ahead of this one.
        is_sure, known = await HUB.newest_version(key.environment_id, version)
        if is_sure and version > known:
            raise future_version(known)


def limit(key: Key, scope: Scope) -> None:
    """Take one request from the address's and the key's limit. Raises RefusedError."""
    BUCKETS.admit(address_of(scope), settings.RATE_LIMIT_ADDRESS)
    BUCKETS.admit(key.prefix, settings.RATE_LIMIT_KEY)


def address_of(scope: Scope) -> str:
    """The caller's network address, as the web process has it."""
    peer = scope.get("client") or ("", 0)
    forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    if not forwarded:
        return str(peer[0])
    return addresses.address_of(
        {"REMOTE_ADDR": peer[0], "HTTP_X_FORWARDED_FOR": b",".join(forwarded).decode("latin-1")}
    )


_ROUTES = routes.RouteMap(
    [
        (routes.STREAM, (routes.STREAM, _stream)),
        (routes.ACKNOWLEDGE, (routes.ACKNOWLEDGE, _acknowledge)),
        (routes.EDGE_STREAM, (routes.EDGE_STREAM, _edge_stream)),
    ]
)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Every HTTP route of the stream process."""
    request = AsgiRequest(scope, receive)
    try:
        await _answer(request, send)
    except RefusedError as error:
        status, body, headers = refusal(error, request.identify())
        await respond(send, status, body, headers=(*headers, (b"x-request-id", request.identify().encode())))
    except GoneError:
        pass  # the caller hung up within its body, so nobody is left to answer


async def _answer(request: AsgiRequest, send: Send) -> None:
    found = _ROUTES.find(request.path)
    if found is not None:
        (route, handle), named = found
        key = await authenticate_or_ask(request)
        if route is routes.EDGE_STREAM:
            edges.needs_edge(key)
        else:
            needs_rules(key)
        limit(key, request.scope)
        if request.method == "OPTIONS":
            await answer_options(send, route, request)
        elif takes_method(route, request.method):
            await handle(request, send, key, named)
        else:
            raise method_not_allowed(request.method, route.allow)
    elif request.path in {"/healthz", "/live", "/health"}:
        await respond(send, 200, {"status": "ok"})
    elif request.path in {"/readyz", "/ready"}:
        status, body = readiness.report()
        await respond(send, status, body)
    elif request.path not in routes.OFREP_STREAM.paths:
        raise RefusedError(404, "Here is /api/stream, and nothing else.")
    elif takes_method(routes.OFREP_STREAM, request.method):
        await _ofrep_stream(request, send)
    else:
        raise method_not_allowed(request.method, routes.OFREP_STREAM.allow)
