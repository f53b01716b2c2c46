"""One client of a stream, as the hub sees it: a bounded queue of events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from flags.streaming.stream_events import StreamEvent
from tenancy.authentication.keyring import Key

MOST_EVENTS_WAITING = 1_024
MOST_BYTES_WAITING = 4 * 1024 * 1024


class Client:
    """Lives on the event loop. A client that reads too slowly is closed, and reconnects with its `Last-Event-ID`."""

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
        # The last version that was queued for it; -1 before the first.
        self.version = -1
        self.is_closed = self.is_slow = self.needs_keep_alive = False
        self.retry_milliseconds: int | None = None
        self._abort = abort
        self._events: list[StreamEvent] = []
        self._waiting_bytes = 0
        self._is_behind = False
        self._waiter: asyncio.Future[None] | None = None

    def offer(self, event: StreamEvent) -> None:
        """Queue an event that the client does not have."""
        if self.is_closed or event.version <= self.version:
            return
        if not event.is_ahead:
            self.version = event.version
        self._events.append(event)
        self._waiting_bytes += len(event.sse)
        # A single event, such as the first snapshot, may be larger than the bound.
        if len(self._events) > 1 and (
            len(self._events) > MOST_EVENTS_WAITING or self._waiting_bytes > MOST_BYTES_WAITING
        ):
            self._drop()
        else:
            self._wake()

    def keep_alive(self) -> None:
        """Ask for a comment if nothing else is queued. A client that took nothing since the last call is closed."""
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
        """End the stream after what is queued. `retry_milliseconds` tells the client when to reconnect."""
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
            # The writer may be waiting for a peer that never reads, and would wait for ever.
            self._abort()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def take(self) -> list[StreamEvent]:
        """Wait for events to send. An empty list means `needs_keep_alive` or `is_closed`."""
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
