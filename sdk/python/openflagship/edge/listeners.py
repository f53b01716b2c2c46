"""One open stream of an edge, as whoever tells the news sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

MOST_EVENTS_WAITING = 1_024


class Listener:
    """One stream. A slow reader is closed, and comes back with its Last-Event-ID."""

    __slots__ = ("is_closed", "is_live", "queue")

    def __init__(self, is_live: Callable[[], bool] = lambda: True) -> None:
        """`is_live` says whether its key is still one."""
        self.is_live = is_live
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.is_closed = False

    def offer(self, data: bytes | None) -> None:
        if self.is_closed:
            return
        if data is None or self.queue.qsize() >= MOST_EVENTS_WAITING:
            self.is_closed = True
            data = None
        self.queue.put_nowait(data)

    async def take(self, seconds: float) -> bytes | None:
        """The next data; empty where none comes in time, None at the end."""
        if seconds <= 0 and self.queue.empty():
            return b""
        try:
            return await asyncio.wait_for(self.queue.get(), max(0.001, seconds))
        except asyncio.TimeoutError:  # noqa: UP041 - another class than TimeoutError on Python 3.10
            return b""
