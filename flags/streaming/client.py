"""One listener on a stream, from the hub's side: a bounded queue, and a place to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from flags.streaming.stream_events import StreamEvent
from tenancy.keyring import Key

MOST_EVENTS_WAITING = 1_024
MOST_BYTES_WAITING = 4 * 1024 * 1024


class Client:
    """Lives on the event loop. Whoever does not read fast enough is closed, and comes back with its `Last-Event-ID`."""

    __slots__ = (
        "_abort",
        "_events",
        "_is_behind",
        "_waiter",
        "_waiting_bytes",
        "instance",
        "is_closed",
        "is_slow",
        "key",
        "needs_keep_alive",
        "retry_milliseconds",
        "sdk",
        "version",
    )

    def __init__(self, key: Key, *, instance: str = "", sdk: str = "", abort: Callable[[], None] | None = None) -> None:
        self.key = key
        self.instance, self.sdk = instance, sdk
        # The last version handed to it; -1 before the first.
        self.version = -1
        self.is_closed = self.is_slow = self.needs_keep_alive = False
        self.retry_milliseconds: int | None = None
        self._abort = abort
        self._events: list[StreamEvent] = []
        self._waiting_bytes = 0
        self._is_behind = False
        self._waiter: asyncio.Future[None] | None = None

    def offer(self, event: StreamEvent) -> None:
        """Queue an event, unless the client has had it."""
        if self.is_closed or event.version <= self.version:
            return
        if not event.is_ahead:
            self.version = event.version
        self._events.append(event)
        self._waiting_bytes += len(event.sse)
        # A single event may be larger than the bound: an environment's first snapshot.
        if len(self._events) > 1 and (
            len(self._events) > MOST_EVENTS_WAITING or self._waiting_bytes > MOST_BYTES_WAITING
        ):
            self._drop()
        else:
            self._wake()

    def keep_alive(self) -> None:
        """Have a comment sent if nothing else is; called again before anything was taken, nobody reads there."""
        if self.is_closed:
            return
        if self._is_behind:
            self._drop()
        elif self._events:
            self._is_behind = True
        else:
            self._is_behind = self.needs_keep_alive = True
            self._wake()

    def close(self, *, retry_milliseconds: int | None = None) -> None:
        """End the stream after what is queued; `retry_milliseconds` tells the client when to come back."""
        if not self.is_closed:
            self.is_closed = True
            self.retry_milliseconds = retry_milliseconds
            self._wake()

    def _drop(self) -> None:
        self.is_slow = self.is_closed = True
        self._events.clear()
        self._waiting_bytes = 0
        self._wake()
        if self._abort is not None:
            # The writer may be waiting for a peer that never reads; without this it would wait for ever.
            self._abort()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def take(self) -> list[StreamEvent]:
        """Wait for what is to be sent. Empty: a keep-alive is due (`needs_keep_alive`), or it is over (`is_closed`)."""
        if not self._events and not self.needs_keep_alive and not self.is_closed:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        events, self._events = self._events, []
        self._waiting_bytes = 0
        self._is_behind = False
        return events
