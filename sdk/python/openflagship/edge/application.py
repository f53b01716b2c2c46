"""The ASGI application: routes, credentials, and answers as the server gives them."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any, TypeAlias
from urllib.parse import parse_qs

import orjson

from openflagship.client.aio import perform
from openflagship.client.effects import Endpoint
from openflagship.client.http import Response, request
from openflagship.edge.limits import Limits
from openflagship.edge.metrics import Metrics
from openflagship.edge.settings import EdgeSettings
from openflagship.edge.source import EdgeClient, Listener, Source, name_of
from openflagship.ids import uuid7
from openflagship.serving import InvalidError, OfrepError

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]

_MAX_BODY_BYTES = 1024 * 1024
_MAX_EVENTS_BYTES = 5 * 1024 * 1024
_OFREP = "/ofrep/v1/evaluate/flags"
_OFREP_STREAM = "/ofrep/v1/stream"
_EVENTS = re.compile(r"/(?:api|v1)/events/(exposure|conversion|metrics)")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,100}\Z")
_CODES = {
    400: "invalid", 401: "not_authenticated", 403: "permission_denied", 404: "not_found", 405: "method_not_allowed",
    413: "payload_too_large", 429: "rate_limited", 503: "unavailable",
}  # fmt: skip
# Of a body that is no JSON: nothing in it could be validated.
_UNREADABLE = "parse_error"


class RefusedError(Exception):
    """A refusal with its status; problems are (attr, code, detail)."""

    def __init__(
        self, status: int, detail: str = "", *problems: tuple[str | None, str, str], retry_after_seconds: int = 1
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.problems = problems or ((None, _CODES[status], detail),)
        self.retry_after_seconds = retry_after_seconds


class GoneError(Exception):
    """The caller hung up before its request was whole: nobody is there to answer. Counted as 499, as nginx does."""


class Edge:
    """An ASGI application. Its clients start with the lifespan and end with it."""

    def __init__(self, settings: EdgeSettings, settled: Callable[[], None] = lambda: None) -> None:
        """`settled` is called at the start and whenever an environment's configuration was taken as a whole."""
        self.settings = settings
        self._settled = settled
        self.sources: list[Source] = []
        self._by_key: dict[str, tuple[Source, bool, str]] = {}
        self.metrics = Metrics(
            lambda: [(source.name, source.client.status(), len(source.listeners)) for source in self.sources]
        )
        self._limits = Limits(settings.rate_limit)
        # By the whole Authorization header, so that the usual one takes one look-up.
        self._by_header: dict[bytes, tuple[Source, bool, str]] = {}
        self._plain_routes: dict[str, Callable[[Source, bytes], tuple[int, bytes]]] = {}
        for prefix in ("/api", "/v1"):
            self._plain_routes[f"{prefix}/flags/evaluate"] = self._plain_routes[f"{prefix}/evaluate"] = self._evaluate
            self._plain_routes[f"{prefix}/flags/evaluate/all"] = self._evaluate_all

    async def start(self) -> None:
        settings = self.settings
        for one in settings.environments:
            path = settings.data_dir and settings.data_dir / f"{name_of(one.server_key)}.json"
            client = EdgeClient(
                one.server_key,
                settings.url,
                **{
                    "stream_url": settings.stream_url,
                    "snapshot_path": path,
                    "signing_secret": settings.signing_secret,
                    "flush_seconds": 1.0,
                    # Writing and packing so many holds up every request for about two milliseconds; fewer would cost
                    # a connection and a request more often, here and at the server.
                    "flush_count": 1_000,
                    "most_events": 100_000,
                    "start_wait_seconds": 0,
                    **settings.options,
                },
            )
            count = self.metrics.count_evaluation
            source = Source(client, one.server_key, settings.signing_secret, count, self._settled)
            self.sources.append(source)
            self._by_key[one.server_key] = (source, True, one.server_key)
            self._by_key.update({key: (source, False, key) for key in one.client_keys})
        self._by_header = {b"Bearer " + key.encode(): found for key, found in self._by_key.items()}
        self._settled()
        await asyncio.gather(*(source.client.start() for source in self.sources))

    def drain(self) -> None:
        """End every stream: they have no end of their own that a server could wait for."""
        for source in self.sources:
            source.close()

    async def stop(self) -> None:
        self.drain()
        await asyncio.gather(*(source.client.close() for source in self.sources))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            try:
                await self._http(scope, headers, receive, send)
            except RefusedError as error:
                await self._refuse(headers, send, error)
            except GoneError:
                self.metrics.requests[499] += 1
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _http(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        if method == "POST":
            plain = self._plain_routes.get(path)
            if plain is not None:
                source = self._source(headers, needs_server_key=False)
                content = await _read(receive, _MAX_BODY_BYTES)
                try:
                    status, answer = plain(source, content)
                except InvalidError as error:
                    raise RefusedError(400, "", *error.problems) from error
                await self._respond(headers, send, status, answer)
            elif path.startswith(_OFREP) and path[len(_OFREP) : len(_OFREP) + 1] in {"", "/"}:
                await self._ofrep(path[len(_OFREP) + 1 :], headers, receive, send)
            elif found := _EVENTS.fullmatch(path):
                await self._forward(found[1], headers, receive, send)
            elif path in {"/api/stream/ack", "/v1/stream/ack"}:
                await self._acknowledge(headers, receive, send)
            else:
                raise RefusedError(404, "An edge evaluates, streams and forwards; the rest is the server's.")
        elif method == "OPTIONS" and b"access-control-request-method" in headers:
            await self._respond(headers, send, 204, b"", headers_too=_PREFLIGHT)
        elif method == "GET" and path == _OFREP_STREAM:
            await self._ofrep_stream(scope["query_string"], headers, receive, send)
        elif method == "GET":
            await self._get(path, headers, receive, send)
        else:
            raise RefusedError(405, "An edge knows GET and POST.")

    async def _get(self, path: str, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        if path == "/healthz":
            await self._respond(headers, send, 200, {"status": "ok"})
        elif path == "/readyz":
            states = [source.status() for source in self.sources]
            is_ready = bool(states) and all(state["ready"] for state in states)
            body = {"status": "ready" if is_ready else "starting", "environments": states}
            await self._respond(headers, send, 200 if is_ready else 503, body)
        elif path == "/metrics":
            await self._respond(headers, send, 200, self.metrics.render(), content_type=b"text/plain; version=0.0.4")
        elif path in {"/api/snapshot", "/v1/snapshot"}:
            await self._snapshot(headers, send)
        elif path in {"/api/stream", "/v1/stream"}:
            await self._stream(headers, receive, send)
        else:
            raise RefusedError(404, "An edge evaluates, streams and forwards; the rest is the server's.")

    def _source(self, headers: dict[bytes, bytes], *, needs_server_key: bool, is_ready: bool = True) -> Source:
        given = headers.get(b"authorization", b"")
        found = self._by_header.get(given)
        if found is None:
            secret = given[7:] if given[:7].lower() == b"bearer " else headers.get(b"x-api-key", b"")
            found = self._by_key.get(secret.decode("latin-1"))
            if found is None:
                raise RefusedError(401, "This edge does not know the credential. Send `Authorization: Bearer fs_…`.")
        source, is_server_key, key = found
        if needs_server_key and not is_server_key:
            raise RefusedError(403, "This needs a server key: with it come the rules, which stay private.")
        if is_ready and source.client.environment.version == 0 and not source.client.status().is_ready:
            raise RefusedError(503, "This edge has not heard of the environment's configuration yet.")
        seconds = self._limits.spend(key)
        if seconds:
            detail = "This edge takes no more requests with the credential for a moment."
            raise RefusedError(429, detail, retry_after_seconds=seconds)
        return source

    @staticmethod
    def _evaluate(source: Source, content: bytes) -> tuple[int, bytes]:
        status, body, _ = source.desk.evaluate(_parse(content), source, len(content))
        return status, body

    @staticmethod
    def _evaluate_all(source: Source, content: bytes) -> tuple[int, bytes]:
        return 200, source.desk.evaluate_all(_parse(content), source, len(content))

    async def _ofrep(self, key: str, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        source = self._source(headers, needs_server_key=False)
        content = await _read(receive, _MAX_BODY_BYTES)
        more: _Headers = ()
        answer: Any
        try:
            try:
                body = orjson.loads(content)
            except orjson.JSONDecodeError as error:
                raise OfrepError("PARSE_ERROR", f"The body is not valid JSON: {error}.") from error
            if key:
                status, answer = source.desk.ofrep(key, body, source, len(content))
            else:
                bulk = source.desk.ofrep_all(body, len(content))
                known = headers.get(b"if-none-match", b"").decode("latin-1")
                if bulk.is_known(known):
                    status, answer = 304, b""
                else:
                    url = b'{"requestUri":"%b?token=%b"}' % (_OFREP_STREAM.encode(), source.ofrep_token().encode())
                    # Relative to where the caller found this edge: it does not know its own address.
                    more_members = b',"eventStreams":[{"type":"sse","endpoint":%b}]' % url
                    status, answer = 200, bulk.send(source, more_members)
                more = ((b"etag", bulk.etag.encode()),)
        except OfrepError as error:
            named = {"key": key} if key else {}
            status, answer = 400, {**named, "errorCode": error.code, "errorDetails": str(error)}
        await self._respond(headers, send, status, answer, headers_too=more)

    async def _snapshot(self, headers: dict[bytes, bytes], send: Send) -> None:
        source = self._source(headers, needs_server_key=True)
        body, packed, etag = source.snapshot()
        is_packed = b"gzip" in headers.get(b"accept-encoding", b"")
        tag = (f'{etag[:-1]}-gzip"' if is_packed else etag).encode()
        more: _Headers = ((b"etag", tag), (b"vary", b"accept-encoding"))
        signature = source.signature(body)
        if signature is not None:
            more = (*more, (b"x-signature", signature.encode()))
        if tag in headers.get(b"if-none-match", b""):
            await self._respond(headers, send, 304, b"", headers_too=more)
        elif is_packed:
            await self._respond(headers, send, 200, packed, headers_too=(*more, (b"content-encoding", b"gzip")))
        else:
            await self._respond(headers, send, 200, body, headers_too=more)

    async def _stream(self, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        source = self._source(headers, needs_server_key=True)
        await self._follow(source, source.join(_last_event(headers)), _STREAM_HEADERS, receive, send)

    async def _ofrep_stream(self, query: bytes, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        token = parse_qs(query.decode("latin-1")).get("token", [""])[0]
        source = next((source for source in self.sources if source.takes_ofrep_token(token)), None)
        if source is None:
            raise RefusedError(401, "The token is unknown or too old. A bulk evaluation names a stream with a new one.")
        origin = headers.get(b"origin")
        more: _Headers = () if origin is None or not self._may_read(origin) else ((_ALLOW_ORIGIN, origin),)
        listener = source.join_ofrep(_last_event(headers))
        await self._follow(source, listener, (*_STREAM_HEADERS, *more), receive, send)

    async def _follow(
        self, source: Source, listener: Listener, headers: _Headers, receive: Receive, send: Send
    ) -> None:
        async def close_when_gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            listener.offer(None)

        watcher = asyncio.ensure_future(close_when_gone())
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            first = b"retry: %d\n\n" % random.randint(1_000, 3_000)  # noqa: S311 - jitter, not a secret
            await send({"type": "http.response.body", "body": first, "more_body": True})
            while True:
                try:
                    data = await asyncio.wait_for(listener.queue.get(), self.settings.keep_alive_seconds)
                except asyncio.TimeoutError:  # noqa: UP041 - another class than TimeoutError on Python 3.10
                    data = b": keep-alive\n\n"
                if data is None:
                    break
                await send({"type": "http.response.body", "body": data, "more_body": True})
            with suppress(OSError):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            source.leave(listener)
            watcher.cancel()

    async def _acknowledge(self, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        source = self._source(headers, needs_server_key=True, is_ready=False)
        said = _parse(await _read(receive, 4_096))
        told = said if isinstance(said, dict) else {}
        instance, version, sdk = told.get("instance"), told.get("version"), told.get("sdk")
        if not isinstance(instance, str) or not 0 < len(instance) <= 100:
            raise RefusedError(400, "Name the instance: 1 to 100 characters, such as host and process id.")
        if isinstance(version, bool) or not isinstance(version, int) or not 0 <= version < 2**53:
            raise RefusedError(400, "Send the version that is applied, as a whole number.")
        source.client.relay_acknowledgement(instance, version, sdk if isinstance(sdk, str) else "")
        await self._respond(headers, send, 202, {"instance": instance, "version": version})

    async def _forward(self, kind: str, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        """Pass events on and the server's answer back: an edge alone could not promise that a crash loses none."""
        source = self._source(headers, needs_server_key=False, is_ready=False)
        body = await _read(receive, _MAX_EVENTS_BYTES)
        sent = {"Authorization": f"Bearer {source.server_key}"}
        for name in ("content-type", "content-encoding", "idempotency-key", "x-request-id"):
            value = headers.get(name.encode())
            if value is not None:
                if not value.isascii():
                    raise RefusedError(400, f"The header {name} must be of ASCII characters.")
                sent[name] = value.decode()
        try:
            answer: Response = await perform(
                request(
                    Endpoint.of(self.settings.url), "POST", f"/api/events/{kind}", sent, body, timeout_seconds=10.0
                ),
                source.client.tls,
            )
        except OSError as error:
            raise RefusedError(503, f"The server is away ({error}); keep the events and send them again.") from error
        more = tuple(
            (name.encode(), answer.headers[name].encode("latin-1"))
            for name in ("retry-after", "x-request-id")
            if name in answer.headers
        )
        await self._respond(headers, send, answer.status, answer.body, headers_too=more)

    async def _refuse(self, headers: dict[bytes, bytes], send: Send, error: RefusedError) -> None:
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _REQUEST_ID.match(given) else str(uuid7())
        kind = "server_error" if error.status >= 500 else "client_error"
        if error.status == 400 and error.problems[0][1] != _UNREADABLE:
            kind = "validation_error"
        problems = [{"code": code, "detail": detail, "attr": attr} for attr, code, detail in error.problems]
        more: _Headers = ((b"x-request-id", request_id.encode()),)
        if error.status in {429, 503}:
            more = (*more, (b"retry-after", b"%d" % error.retry_after_seconds))
        body = {"type": kind, "errors": problems, "requestId": request_id}
        await self._respond(headers, send, error.status, body, headers_too=more)

    async def _respond(
        self,
        headers: dict[bytes, bytes],
        send: Send,
        status: int,
        body: Any,
        *,
        content_type: bytes = b"application/json",
        headers_too: _Headers = (),
    ) -> None:
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        start = [(b"content-type", content_type), (b"content-length", b"%d" % len(content)), *headers_too]
        origin = headers.get(b"origin")
        if origin is not None and self._may_read(origin):
            start += [
                (_ALLOW_ORIGIN, origin),
                (b"access-control-expose-headers", b"ETag, Retry-After, X-Request-ID"),
                (b"vary", b"origin"),
            ]
        self.metrics.requests[status] += 1
        await send({"type": "http.response.start", "status": status, "headers": start})
        await send({"type": "http.response.body", "body": content})

    def _may_read(self, origin: bytes) -> bool:
        return "*" in self.settings.origins or origin.decode("latin-1") in self.settings.origins


_ALLOW_ORIGIN = b"access-control-allow-origin"
_STREAM_HEADERS: _Headers = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    # nginx would otherwise hold events back until a buffer is full.
    (b"x-accel-buffering", b"no"),
)
_PREFLIGHT: _Headers = (
    (b"access-control-allow-methods", b"GET, POST"),
    (b"access-control-allow-headers", b"Authorization, Content-Type, If-None-Match, X-API-Key"),
    (b"access-control-max-age", b"600"),
)


def _last_event(headers: dict[bytes, bytes]) -> int | None:
    last = headers.get(b"last-event-id", b"")
    return int(last) if last.isdigit() and len(last) < 19 else None


async def _read(receive: Receive, most: int) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body") and len(body) <= most:
        message = await receive()
        body += message.get("body", b"")
    if message["type"] != "http.request":
        raise GoneError
    if len(body) > most:
        raise RefusedError(413, f"A body has at most {most} bytes here.")
    return body


def _parse(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise RefusedError(400, "", (None, _UNREADABLE, f"The body is not valid JSON: {error}.")) from error
