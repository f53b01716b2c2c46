"""The edge as an ASGI application: it answers each route of the data plane as the server does."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, TypeAlias

from openflagship.client.transport.effects import Endpoint
from openflagship.edge.callers import Caller
from openflagship.edge.environments import Environments
from openflagship.edge.forwarding import forward, passed_back
from openflagship.edge.metrics import Metrics, Series, render
from openflagship.edge.operations import Call, Operation, ofrep_json
from openflagship.edge.processes import Peers, Place
from openflagship.edge.settings.edge_settings import EdgeSettings
from openflagship.edge.source import Source
from openflagship.edge.streams import Streams
from openflagship.wire import acknowledgements, bodies, conditional, credentials, limits, routes, sse
from openflagship.wire.aliases import translated
from openflagship.wire.answers import exposures_asked, ofrep_exposures_asked
from openflagship.wire.asgi import (
    JSON,
    NO_SNIFFING,
    AsgiRequest,
    Headers,
    Receive,
    Scope,
    Send,
    encoded,
    refusal,
    send_whole,
    takes_method,
)
from openflagship.wire.cross_origin import CrossOrigin
from openflagship.wire.errors import RefusedError, method_not_allowed
from openflagship.wire.reading import GoneError

_Headers: TypeAlias = Iterable[tuple[bytes, bytes]]
_AGE_HEADER = sse.AGE_HEADER.lower().encode()
_UNKNOWN_ROUTE = "An edge evaluates, streams and forwards; the rest is the server's."
_NO_SERVER = "This edge is offline: it serves from a file, and has no server that could take this. Keep it."


class Edge:
    """An ASGI application. Its clients start with the lifespan and end with it."""

    def __init__(
        self, settings: EdgeSettings, settled: Callable[[], None] = lambda: None, place: Place | None = None
    ) -> None:
        """`settled` is called at the start, and whenever an environment's configuration was replaced as a whole.

        `place`: which one this is of several processes on a port.
        """
        self.settings = settings
        self.metrics = Metrics(
            lambda: [(source.name, source.client.status(), source.stream_count) for source in self.sources]
        )
        self.environments = Environments(settings, self.metrics.evaluations, settled)
        self._find = self.environments.callers.find
        self._is_limited = settings.rate_limit > 0
        self._peers = None if place is None else Peers(place, self.metrics)
        self.grpc: Any = None
        self._places = limits.Places(settings.most_streams, settings.most_streams_per_key)
        self._most_bytes = min(bodies.MAX_BODY_BYTES, settings.most_body_bytes or bodies.MAX_BODY_BYTES)
        self._buckets = limits.Buckets()
        self._cross_origin = CrossOrigin(settings.origins)
        self._streams = Streams(self.environments, self._places, self._cross_origin, settings.keep_alive_seconds)
        self._server = Endpoint.of(settings.url)
        self.operations = routes.RouteMap(
            (operation.route, operation)
            for operation in (
                Operation(routes.EVALUATE, self._evaluate, is_at_once=True),
                Operation(routes.EVALUATE_ALL, self._evaluate_all, is_at_once=True),
                Operation(routes.OFREP_FLAGS, self._ofrep_all, is_at_once=True),
                Operation(routes.OFREP_FLAG, self._ofrep, is_at_once=True),
                Operation(routes.SNAPSHOT, self._snapshot, needs_server_key=True, is_at_once=True),
                Operation(routes.STREAM, self._streams.configuration, needs_server_key=True),
                Operation(routes.EDGE_CONFIGURATION, None),
                Operation(routes.EDGE_STREAM, None),
                Operation(routes.ACKNOWLEDGE, self._acknowledge, needs_server_key=True, needs_configuration=False),
                *(
                    Operation(route, partial(self._forward, route.paths[0]), needs_configuration=False)
                    for route in (routes.EXPOSURES, routes.CONVERSIONS, routes.METRICS, routes.USAGE)
                ),
            )
        )
        self._open_routes = {
            **dict.fromkeys(("/healthz", "/live", "/health"), self._healthz),
            **dict.fromkeys(("/readyz", "/ready"), self._readyz),
            "/metrics": self._metrics,
        }

    @property
    def sources(self) -> list[Source]:
        return self.environments.sources

    async def start(self) -> None:
        if self._peers is not None:
            await self._peers.start()
        await self.environments.start()
        if self.settings.grpc.addresses:
            from openflagship.edge.grpc.ports import GrpcPorts, Shared  # noqa: PLC0415 - an extra

            spend = self._spend if self._is_limited else str
            shared = Shared(self.settings, self.environments, self.metrics, self._places, spend)
            self.grpc = GrpcPorts(shared, self._most_bytes, is_shared=self._peers is not None)
            await self.grpc.start()

    def drain(self) -> None:
        self.environments.drain()

    async def stop(self) -> None:
        try:
            if self.grpc is not None:
                await self.grpc.stop()
        finally:
            await self.environments.stop()
        if self._peers is not None:
            await self._peers.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = AsgiRequest(scope, receive)
            try:
                await self._http(request, send)
            except RefusedError as error:
                status, body, headers = refusal(error, request.identify())
                await self._respond(request, send, status, body, headers)
            except GoneError:
                # As nginx counts it.
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

    async def _http(self, request: AsgiRequest, send: Send) -> None:
        found = request.scope.get("target") or self.operations.find(request.path)
        if found is None:
            await self._without_key(request, send)
            return
        operation, parameter = found
        method = request.method
        if method == "OPTIONS" and b"access-control-request-method" in request.headers:
            headers = self._cross_origin.preflight(request.path, request.headers.get(b"origin"))
            if headers is not None:
                await self._respond(request, send, 200, b"", headers)
                return
        caller, started = self._find(request), 0.0
        try:
            if caller.source is None or operation.is_guarded or b"x-tenant-id" in request.headers:
                self._check(request, operation, caller)
            headers = self._spend(caller.name) if self._is_limited else ()
            if caller.source is None or operation.handle is None:
                await self._for_edge(request, send, operation, caller, headers)
                return
            call = Call(request, send, caller, caller.source, parameter, headers)
            if method == "OPTIONS":
                allow = (b"allow", operation.route.allow.encode())
                await self._answer(call, 200, routes.OPTIONS_BODY, (allow,))
                return
            if method != operation.method and not takes_method(operation.route, method):
                raise method_not_allowed(method, operation.route.allow)
            if operation.needs_configuration and not call.source.has_configuration:
                raise _not_ready()
            started = time.perf_counter()
            await operation.handle(call)
        except RefusedError as error:
            self._series_of(caller).refuse(error.status, is_counted=started > 0 or not operation.is_timed)
            raise
        finally:
            if started and operation.is_timed:
                (caller.series or self._series_of(caller)).observe(time.perf_counter() - started)

    def _series_of(self, caller: Caller) -> Series:
        """Where the key's requests are counted. The caller keeps it, so that it is looked for once."""
        if caller.series is None:
            caller.series = self.metrics.series("" if caller.source is None else caller.source.name, caller.name)
        return caller.series

    def _note_refusal(self, call: Call, status: int) -> None:
        """Count what is answered as a refusal, and not raised as one."""
        self._series_of(call.caller).refuse(status, is_counted=True)

    async def _for_edge(
        self, request: AsgiRequest, send: Send, operation: Operation, caller: Caller, headers: Headers
    ) -> None:
        """Tell a further edge what it serves."""
        route, edge = operation.route, caller.edge
        if request.method == "OPTIONS":
            headers = (*headers, (b"allow", route.allow.encode()))
            await self._respond(request, send, 200, routes.OPTIONS_BODY, headers)
        elif not takes_method(route, request.method):
            raise method_not_allowed(request.method, route.allow)
        elif edge is None or self.environments.directory is None:
            raise RefusedError(403, credentials.NEEDS_EDGE_CREDENTIAL)
        elif route is routes.EDGE_CONFIGURATION:
            headers = (*headers, (b"cache-control", b"private, no-cache"))
            await self._respond(request, send, 200, self.environments.configuration_for(edge), headers)
        else:
            await self._streams.further_edge(request, send, edge)

    async def _without_key(self, request: AsgiRequest, send: Send) -> None:
        """Answer the routes that ask for no key."""
        if request.path in self._open_routes:
            await self._open_routes[request.path](request, send)
        elif request.path not in routes.OFREP_STREAM.paths:
            raise RefusedError(404, _UNKNOWN_ROUTE)
        elif not takes_method(routes.OFREP_STREAM, request.method):
            raise method_not_allowed(request.method, routes.OFREP_STREAM.allow)
        else:
            await self._streams.ofrep(request, send)

    def _check(self, request: AsgiRequest, operation: Operation, found: Caller) -> None:
        """Raises RefusedError where the presented key may not call the operation."""
        source = found.source
        if source is not None and b"x-tenant-id" in request.headers and source.has_configuration:
            credentials.check_tenant(request.header(b"x-tenant-id"), source.organization)
        if operation.handle is None:
            if found.edge is None or source is not None:
                raise RefusedError(403, credentials.NEEDS_EDGE_CREDENTIAL)
        elif source is None or (operation.needs_server_key and not found.reads_rules):
            raise RefusedError(403, credentials.NEEDS_SERVER_KEY)

    def _spend(self, key: str) -> Headers:
        """Take a token from the key's bucket. Returns the headers that say how many are left."""
        verdict = self._buckets.take(key, self.settings.rate_limit)
        if not verdict.is_allowed:
            raise limits.too_many_requests(verdict)
        return encoded(verdict.headers)

    async def _healthz(self, request: AsgiRequest, send: Send) -> None:
        await self._respond(request, send, 200, {"status": "ok"})

    async def _readyz(self, request: AsgiRequest, send: Send) -> None:
        """Ready once one environment is and no other may still become so; `?environment=` asks for one by its name."""
        body = self.environments.readiness(request.parameter("environment"))
        await self._respond(request, send, 200 if body["status"] in {"ready", "degraded"} else 503, body)

    async def _metrics(self, request: AsgiRequest, send: Send) -> None:
        told = {"": self.metrics.figures()} if self._peers is None else await self._peers.figures()
        await self._respond(request, send, 200, render(told), content_type=b"text/plain; version=0.0.4")

    async def _evaluate(self, call: Call) -> None:
        sent, size = await call.request.json(self._most_bytes)
        other = translated(sent)
        if other is not None:
            sent = other.body
            credentials.check_environment(other.environment_key, call.source.environment_key)
        source = call.source
        status, body, evaluation_id = source.responder.evaluate(sent, source, size)
        call.request.identify(evaluation_id)
        if other is not None:
            body = bodies.write_json(other.write(bodies.read_json(body)))
        await self._respond(call.request, call.send, status, body, call.headers)

    async def _evaluate_all(self, call: Call) -> None:
        exposures = exposures_asked(call.request.parameter("exposures"))
        sent, size = await call.request.json(self._most_bytes)
        body = call.source.responder.evaluate_all(sent, call.source, size, exposures=exposures)
        await self._answer(call, 200, body)

    async def _ofrep(self, call: Call) -> None:
        key = call.parameter
        try:
            sent, size = await ofrep_json(call.request, self._most_bytes)
            status, body = call.source.responder.ofrep(key, sent, call.source, size)
        except bodies.OfrepError as error:
            self._note_refusal(call, 400)
            await self._answer(call, 400, error.body(key))
        else:
            await self._answer(call, status, body)

    async def _ofrep_all(self, call: Call) -> None:
        source = call.source
        try:
            exposures = ofrep_exposures_asked(call.request.parameter("exposures"))
            sent, size = await ofrep_json(call.request, self._most_bytes)
            bulk = source.responder.ofrep_all(sent, size)
        except bodies.OfrepError as error:
            self._note_refusal(call, 400)
            await self._answer(call, 400, error.body())
            return
        etag = (b"etag", bulk.etag.encode())
        if bulk.is_known(call.request.header(b"if-none-match")):
            await self._answer(call, 304, b"", (etag,))
            return
        # Relative to where the caller found this edge, which does not know its own address.
        path, token = routes.OFREP_STREAM.paths[0].encode(), source.ofrep_token(call.caller.name).encode()
        url = b'{"requestUri":"%b?token=%b&since=%d"}' % (path, token, bulk.version)
        body = bulk.send(source, b',"eventStreams":[{"type":"sse","endpoint":%b}]' % url, exposures=exposures)
        await self._answer(call, 200, body, (etag,))

    async def _snapshot(self, call: Call) -> None:
        source = call.source
        credentials.check_environment(call.parameter, source.environment_key)
        body, packed, etag = source.snapshot()
        is_packed = b"gzip" in call.request.headers.get(b"accept-encoding", b"")
        packed_etag = conditional.gzip_etag(etag)
        headers: list[tuple[bytes, bytes]] = [
            (b"etag", (packed_etag if is_packed else etag).encode()),
            (b"vary", b"accept-encoding"),
            (b"cache-control", b"private, no-cache"),
        ]
        if age := sse.age_text(source.age_seconds):
            headers.append((_AGE_HEADER, age.encode()))
        if conditional.is_known(call.request.header(b"if-none-match"), etag, packed_etag):
            await self._answer(call, 304, b"", headers)
            return
        signature = source.signature(body)
        if signature is not None:
            headers.append((b"x-signature", signature.encode()))
        if is_packed:
            headers.append((b"content-encoding", b"gzip"))
        await self._answer(call, 200, packed if is_packed else body, headers)

    async def _acknowledge(self, call: Call) -> None:
        if self.settings.is_offline:
            raise RefusedError(503, _NO_SERVER)
        sent, _ = await call.request.json(min(acknowledgements.MAX_BODY_BYTES, self._most_bytes))
        said = acknowledgements.acknowledgement_of(sent)
        call.source.client.relay_acknowledgement(said)
        await self._answer(call, 202, said.answer)

    async def _forward(self, path: str, call: Call) -> None:
        if self.settings.is_offline:
            raise RefusedError(503, _NO_SERVER)
        answer = await forward(self._server, path, call.source, call.request, self.settings.most_body_bytes)
        if answer.status >= 400:
            self._note_refusal(call, answer.status)
        await self._answer(call, answer.status, answer.body, passed_back(answer))

    def _answer(self, call: Call, status: int, body: Any, headers: _Headers = ()) -> Awaitable[None]:
        return self._respond(call.request, call.send, status, body, (*call.headers, *headers))

    def _respond(
        self,
        request: AsgiRequest,
        send: Send,
        status: int,
        body: Any,
        headers: _Headers = (),
        *,
        content_type: bytes = JSON,
    ) -> Awaitable[None]:
        # No coroutine of its own: each one costs an evaluation about a half of a microsecond.
        content = body if isinstance(body, bytes) else bodies.write_json(body)
        sent = [(b"content-type", content_type), (b"content-length", b"%d" % len(content)), NO_SNIFFING, *headers]
        sent.append((b"x-request-id", request.identify().encode()))
        origin = request.headers.get(b"origin")
        if origin is not None:
            sent.extend(self._cross_origin.headers(request.path, origin))
        self.metrics.requests[status] += 1
        return send_whole(send, status, sent, content)


def _not_ready() -> RefusedError:
    return RefusedError(503, credentials.NOT_READY)
