"""HTTP/1.1 as uvicorn speaks it, but that no connection is kept for a request that does not come.

uvicorn waits without end for a head of which a part has come, and takes a timer for each request.
"""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# A connection is dropped where the head of a request is not whole by then: from the connection's start, or from its
# first byte.
HEAD_SECONDS: Final = 15.0
# A head may be so large. More than what is read at a time, which may be many requests and the beginning of one.
MOST_HEAD_BYTES: Final = 512 * 1024


class TimedProtocol(HttpToolsProtocol):
    """Puts the connection's transport into `scope["state"]`, because ASGI cannot abort a connection.

    After an answer the connection rests for `timeout_keep_alive` seconds, and is then closed. Who connects while there
    are fewer than `limit_concurrency` connections is answered, however many come after; uvicorn refuses everybody then.
    """

    head_seconds = HEAD_SECONDS
    # By when, in the loop's time, a head must be whole that has begun, and by when one must begin; None for neither.
    _head_due: float | None = None
    _rest_due: float | None = None
    _watch: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)
        if self.limit_concurrency is not None:
            self.limit_concurrency = 0 if len(self.connections) > self.limit_concurrency else None
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_due is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        self._await_head()
        super().on_message_begin()

    def _await_head(self) -> None:
        self._head_due = self.loop.time() + self.head_seconds
        if self._watch is None:
            self._arm(self.head_seconds)

    def on_headers_complete(self) -> None:
        self.has_head()
        super().on_headers_complete()

    def has_head(self) -> None:
        """Say that a request's head has come."""
        self._head_due = self._rest_due = None
        self._head_bytes = 0

    def on_response_complete(self) -> None:
        """Begin the next request of those that wait; where none does, let the connection rest."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._rest_due = self.loop.time() + self.timeout_keep_alive
        if self._watch is None:
            self._arm(self.timeout_keep_alive)

    def _arm(self, seconds: float) -> None:
        # Whatever begins meanwhile, a head or a rest, is looked at so soon.
        soon = min(seconds, self.head_seconds, self.timeout_keep_alive)
        self._watch = self.loop.call_later(soon, self._look)

    def _look(self) -> None:
        self._watch = None
        due = self._rest_due if self._head_due is None else self._head_due
        # uvicorn hands a WebSocket to another protocol.
        if due is None or self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        left = due - self.loop.time()
        if left > 0:
            self._arm(left)
        elif self._head_due is None:
            # What was answered may still be on its way.
            self.transport.close()
        else:
            self.transport.abort()
