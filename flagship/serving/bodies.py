"""Request bodies on their way in: read by the event loop, with a deadline and a bound, before any thread is taken."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from openflagship.wire import reading
from openflagship.wire.errors import RefusedError

from tenancy.process_memory import on_reset

# All large bodies that one worker holds while they arrive. What a body announces counts for nothing.
MOST_BYTES_ARRIVING = 256 * 1024 * 1024
# A body up to here is read in one piece and is not counted: the server's bound on connections bounds these too.
_SMALL_BYTES = 64 * 1024
_SWEEP_SECONDS = 0.5


@dataclass(slots=True, eq=False)
class _Arrival:
    """A body that is arriving: who waits for it, since when, and how much of it is here."""

    task: "asyncio.Task[Any]"
    since: float
    received: int = 0
    counted: int = 0
    is_late: bool = False


class Arrivals:
    """Every body that is arriving at this process. It lives on the event loop."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._arriving: set[_Arrival] = set()
        self.bytes_arriving = 0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look for late bodies from now on."""

        def sweep() -> None:
            self.drop_late(time.monotonic())
            loop.call_later(_SWEEP_SECONDS, sweep)

        loop.call_later(_SWEEP_SECONDS, sweep)

    def drop_late(self, now: float) -> None:
        """Interrupt whoever waits for a body that is too slow."""
        for arrival in self._arriving:
            over = now - arrival.since - reading.BODY_SECONDS
            if over >= 0 and not arrival.is_late and arrival.received <= over * reading.LEAST_BYTES_A_SECOND:
                arrival.is_late = True
                arrival.task.cancel()

    async def read(self, proto: Any, length: int | None, most: int) -> bytes:
        """Return the body. `length` is the announced one, None for one in chunks; `most` is the route's bound.

        Raises RefusedError: 408 for a slow body, 413 for a large one, 503 where too many arrive at once.
        """
        if length is not None and length > most:
            raise reading.too_large(most)
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("A body is read in a task.")
        arrival = _Arrival(task, time.monotonic())
        self._arriving.add(arrival)
        try:
            if length is not None and length <= _SMALL_BYTES:
                content: bytes = await proto()
                return content
            return await self._in_pieces(proto, arrival, most)
        except asyncio.CancelledError:
            if not arrival.is_late:
                raise
            raise reading.late() from None
        finally:
            self._arriving.discard(arrival)
            self.bytes_arriving -= arrival.counted

    async def _in_pieces(self, proto: Any, arrival: _Arrival, most: int) -> bytes:
        pieces = []
        async for piece in proto:
            pieces.append(piece)
            arrival.received += len(piece)
            if arrival.received > most:
                raise reading.too_large(most)
            self._count(arrival, len(piece))
        return b"".join(pieces)

    def _count(self, arrival: _Arrival, size: int) -> None:
        if self.bytes_arriving + size > MOST_BYTES_ARRIVING:
            detail = "Too many large bodies arrive at the moment. Try again shortly."
            raise RefusedError(503, detail, headers=reading.CLOSE)
        self.bytes_arriving += size
        arrival.counted += size


ARRIVALS = Arrivals()
on_reset(ARRIVALS.reset)
