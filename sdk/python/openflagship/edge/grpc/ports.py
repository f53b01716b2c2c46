"""flagd's evaluation service on an edge: one server for each address, all of them on the edge's event loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from openflagship.client.transport.sse import ServerEvent
from openflagship.edge.callers import Caller
from openflagship.edge.environments import Environments
from openflagship.edge.grpc.connect import ConnectServer
from openflagship.edge.grpc.settings import GrpcAddress
from openflagship.edge.metrics import Metrics
from openflagship.edge.settings.edge_settings import EdgeSettings
from openflagship.edge.source import Source
from openflagship.rpc import flagd
from openflagship.rpc.affected import Changes
from openflagship.rpc.connect import ConnectApplication
from openflagship.rpc.door import Call, Door, StreamCall
from openflagship.rpc.server import Limits, RpcServer, Tls
from openflagship.stream_kinds import FLAG_KINDS, SEGMENT_KINDS
from openflagship.wire import credentials
from openflagship.wire.answers import Responder
from openflagship.wire.asgi import AsgiRequest
from openflagship.wire.errors import RefusedError
from openflagship.wire.limits import Places

if TYPE_CHECKING:
    import grpc

_GRACE_SECONDS = 3.0
_ENDED = "This edge is being replaced; connect again."
_FOREIGN = "This address serves another environment than the key belongs to."
_NAME_ONE = "This edge serves several environments. Send a key of one, or give each an address in FLAGSHIP_EDGE_GRPC."


@dataclass(frozen=True, slots=True)
class Shared:
    """What HTTP and gRPC have in common on an edge. `spend` takes one call from a key's limit."""

    settings: EdgeSettings
    environments: Environments
    metrics: Metrics
    places: Places
    spend: Callable[[str], object]


class GrpcPorts:
    """Starts and ends with the edge."""

    def __init__(self, shared: Shared, most_bytes: int, *, is_shared: bool) -> None:
        """`is_shared`: other processes of this edge serve at the same addresses."""
        self._settings, self._environments = shared.settings.grpc, shared.environments
        seconds = shared.settings.keep_alive_seconds
        limits = Limits(most_bytes=most_bytes, most_calls=0, keep_alive_seconds=seconds, is_shared=is_shared)
        door = Door(partial(_observe, shared.metrics), most_bytes=most_bytes)
        self.servers: list[tuple[GrpcAddress, RpcServer | ConnectServer]] = []
        for address in self._settings.addresses:
            host = _Host(address, shared)
            services = []
            for version in flagd.VERSIONS:
                service = version.DESCRIPTOR.services_by_name["Service"]
                services.append((service, door.handler(service, flagd.acts_of(host, version))))
            if address.is_connect:
                application = ConnectApplication(services, most_bytes, host.admits)
                other = ConnectServer(address.host, address.port, application, is_shared=is_shared)
                self.servers.append((address, other))
                continue
            is_ready = partial(_is_ready, shared.environments, address.environment)
            server = RpcServer(address.text, services, limits, is_ready=is_ready, is_at_once=True)
            self.servers.append((address, server))

    async def start(self) -> None:
        """Raises OSError."""
        found = self._settings
        tls = None
        if found.certificate is not None and found.key is not None:
            tls = Tls(certificate=found.certificate, key=found.key, client_ca=found.client_ca)
        for address, server in self.servers:
            await server.start(None if address.is_unix else tls)

    async def stop(self) -> None:
        """Before the environments stop: what is answered meanwhile is among the events that they send at their end."""
        self._environments.drain()
        await asyncio.gather(*(server.stop(_GRACE_SECONDS) for _, server in self.servers))


def _is_ready(environments: Environments, name: str) -> bool:
    """As `/readyz` has it; `name` of the one environment that is served at an address."""
    try:
        return environments.readiness(name or None)["status"] in {"ready", "degraded"}
    except RefusedError:
        return False


def _observe(metrics: Metrics, call: Call, code: grpc.StatusCode, seconds: float) -> None:
    metrics.grpc_calls[call.method, code.name] += 1
    if call.note is not None:
        call.note.observe(seconds)


class _Host:
    """Who may call at one address: whoever has a key, and on this machine everybody."""

    def __init__(self, address: GrpcAddress, shared: Shared) -> None:
        self._address = address
        self._is_local = address.is_local
        self._shared = shared
        self._environments = shared.environments

    async def enter(self, call: Call) -> _Desk:
        caller, source = self._find(call.request)
        call.caller = source.id if caller is None else caller.name
        series = self._shared.metrics.series(source.name, call.caller)
        try:
            self._shared.spend(call.caller)
        except RefusedError as error:
            series.refuse(error.status, is_counted=call.is_stream)
            raise
        if not call.is_stream:
            call.note = series
        is_live = (lambda: True) if caller is None else partial(self._environments.callers.is_live, caller)
        return _Desk(source, is_live, partial(self._shared.places.taken, call.caller), self._shared.settings)

    def admits(self, request: AsgiRequest) -> bool:
        """Whether whoever calls may do so."""
        try:
            self._find(request)
        except RefusedError:
            return False
        return True

    def _find(self, request: AsgiRequest) -> tuple[Caller | None, Source]:
        if b"authorization" not in request.headers and b"x-api-key" not in request.headers:
            return None, self._open_source()
        caller = self._environments.callers.find(request)
        source = caller.source
        if source is None:
            raise RefusedError(403, credentials.NEEDS_ENVIRONMENT_KEY)
        if b"x-tenant-id" in request.headers and source.has_configuration:
            credentials.check_tenant(request.header(b"x-tenant-id"), source.organization)
        if self._address.environment and source.name != self._address.environment:
            raise RefusedError(403, _FOREIGN)
        return caller, source

    def _open_source(self) -> Source:
        """Of a call without a key. Raises RefusedError where it needs one."""
        if not self._is_local:
            raise credentials.unauthenticated(None)
        name = self._address.environment
        found = [source for source in self._environments.sources if not name or name == source.name]
        if name and not found:
            raise RefusedError(404, credentials.unknown_environment(name))
        if len(found) != 1:
            raise RefusedError(401 if found else 503, _NAME_ONE if found else credentials.NOT_READY)
        return found[0]


class _Desk:
    """One caller of one environment."""

    def __init__(
        self, source: Source, is_live: Callable[[], bool], place: Callable[[], Any], settings: EdgeSettings
    ) -> None:
        self.recorder = source
        self._is_live = is_live
        self._place = place
        self._keep_alive_seconds = settings.keep_alive_seconds

    @property
    def responder(self) -> Responder:
        if not self.recorder.has_configuration:
            raise RefusedError(503, credentials.NOT_READY)
        return self.recorder.responder

    async def changes(self, _call: StreamCall) -> AsyncGenerator[Changes, None]:
        source = self.recorder
        news: list[Changes] = []
        woken = asyncio.Event()

        def observe(events: list[ServerEvent] | None) -> None:
            news.append(Changes(is_all=True) if events is None else Changes.merged(map(_changes_of, events)))
            # A caller that reads slowly is told once of all that it missed.
            news[:] = [Changes.merged(news)]
            woken.set()

        with self._place():
            source.observers.add(observe)
            try:
                yield Changes()
                while not source.is_closed:
                    # What is empty is a keep-alive, once nothing was told for a while.
                    is_due = False
                    try:
                        await asyncio.wait_for(woken.wait(), self._keep_alive_seconds)
                    except asyncio.TimeoutError:  # noqa: UP041 - another class on Python 3.10
                        is_due = True
                    if not self._is_live():
                        raise RefusedError(401, credentials.UNKNOWN_CREDENTIAL)
                    woken.clear()
                    found = Changes.merged(news)
                    news.clear()
                    if (is_due or found != Changes()) and not source.is_closed:
                        yield found
            finally:
                source.observers.discard(observe)
        raise RefusedError(503, _ENDED)


def _changes_of(event: ServerEvent) -> Changes:
    if event.kind not in FLAG_KINDS and event.kind not in SEGMENT_KINDS:
        return Changes(is_all=True)
    key = frozenset({str(json.loads(event.data)["key"])})
    return Changes(flags=key) if event.kind in FLAG_KINDS else Changes(segments=key)
