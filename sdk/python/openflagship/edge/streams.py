"""The streams of an edge: what a listener is offered, and keep-alives that tell the edge's age."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

from openflagship.edge.environments import Environments
from openflagship.edge.listeners import Listener
from openflagship.edge.operations import Call
from openflagship.edge.source import Source
from openflagship.wire import credentials, sse
from openflagship.wire.asgi import AsgiRequest, Headers, Send, send_part, start_stream, watching
from openflagship.wire.credentials import FurtherEdge
from openflagship.wire.cross_origin import CrossOrigin
from openflagship.wire.errors import RefusedError
from openflagship.wire.limits import Places


class Streams:
    """Each holds one of the edge's places, and ends with the key that it was opened with."""

    def __init__(
        self, environments: Environments, places: Places, cross_origin: CrossOrigin, keep_alive_seconds: float
    ) -> None:
        self._environments = environments
        self._places = places
        self._cross_origin = cross_origin
        self._keep_alive_seconds = keep_alive_seconds

    async def configuration(self, call: Call) -> None:
        """An environment's configuration, for SDKs and further edges. Raises RefusedError."""
        credentials.check_environment(call.parameter, call.source.environment_key)
        last = sse.last_event_id(call.request.header(b"last-event-id"))
        with self._places.taken(call.caller.name):
            listener = call.source.join(last, partial(self._environments.callers.is_live, call.caller))
            await self._follow(call.request, call.send, call.source, listener)

    async def ofrep(self, request: AsgiRequest, send: Send) -> None:
        """OFREP's event stream, for whoever has its token. Raises RefusedError."""
        found = self._environments.find_token(request.parameter("token") or "")
        if found is None:
            raise RefusedError(401, credentials.UNKNOWN_EVENT_STREAM)
        caller, source = found
        origin = self._cross_origin.allow(request.headers.get(b"origin"))
        last = request.header(b"last-event-id") or request.parameter("since") or ""
        with self._places.taken(""):
            listener = source.join_ofrep(sse.last_event_id(last), partial(self._environments.callers.is_live, caller))
            await self._follow(request, send, source, listener, origin, sse.audible_keep_alive)

    async def further_edge(self, request: AsgiRequest, send: Send, edge: FurtherEdge) -> None:
        """What a further edge serves. Raises RefusedError."""
        with self._places.taken(edge["prefix"]):
            listener = self._environments.join_edge(edge)
            try:
                await follow(request, send, listener, age=lambda: None, keep_alive_seconds=self._keep_alive_seconds)
            finally:
                self._environments.leave_edge(listener)

    async def _follow(  # noqa: PLR0917 - two callers, and each names what it gives
        self,
        request: AsgiRequest,
        send: Send,
        source: Source,
        listener: Listener,
        headers: Headers = (),
        keep_alive: Callable[[float | None], bytes] = sse.keep_alive,
    ) -> None:
        try:
            await follow(
                request,
                send,
                listener,
                age=lambda: source.age_seconds,
                keep_alive_seconds=self._keep_alive_seconds,
                headers=headers,
                keep_alive=keep_alive,
            )
        finally:
            source.leave(listener)


async def follow(
    request: AsgiRequest,
    send: Send,
    listener: Listener,
    *,
    age: Callable[[], float | None],
    keep_alive_seconds: float,
    headers: Iterable[tuple[bytes, bytes]] = (),
    keep_alive: Callable[[float | None], bytes] = sse.keep_alive,
) -> None:
    """Send what the listener is offered, until one of the two sides ends the stream."""
    sent = (*sse.HEADERS, *headers, (b"x-request-id", request.identify().encode()))
    async with watching(request, lambda: listener.offer(None)):
        await start_stream(send, sent, sse.first_part(age()))
        if request.method == "HEAD":
            listener.offer(None)
        due = time.monotonic() + keep_alive_seconds
        while True:
            # Also on a stream that is never silent: its keep-alives tell how old the edge's knowledge is.
            data = await listener.take(due - time.monotonic())
            if data is None:
                break
            if time.monotonic() >= due:
                if not listener.is_live():
                    break
                due = time.monotonic() + keep_alive_seconds
                data += keep_alive(age())
            if data:
                await send_part(send, data)
        with suppress(OSError):
            await send_part(send, b"", is_last=True)
