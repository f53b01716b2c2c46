"""The streams of an edge: what a listener is offered, and keep-alives that tell the edge's age."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from openflagship.edge.listeners import Listener
from openflagship.wire import sse
from openflagship.wire.asgi import AsgiRequest, Send, send_part, start_stream, watching


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
