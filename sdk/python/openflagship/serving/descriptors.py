"""File descriptors: how many connections a process may have, and one line a minute once it has them."""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from typing import Any, Final

try:
    import resource
except ImportError:  # on Windows, where descriptors have no such limit
    resource = None  # type: ignore[assignment]

log = logging.getLogger("openflagship.http")

# What a process accepts, where nobody says otherwise.
MOST_CONNECTIONS: Final = 20_000
# For servers, log files, the listening socket, and connections that are being refused.
RESERVED: Final = 64
_SAY_EVERY_SECONDS: Final = 60.0
_OUT_OF_DESCRIPTORS: Final = {errno.EMFILE, errno.ENFILE}
_UVICORN_REFUSES: Final = "Exceeded concurrency limit."


def most_connections(wanted: int) -> int:
    """`wanted`, or what the process's descriptors allow. It takes as many as the system grants."""
    if resource is None:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVED
    if soft != resource.RLIM_INFINITY and soft < needed:
        granted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
        soft = granted
    found = wanted if soft == resource.RLIM_INFINITY else min(needed, soft) - RESERVED
    if found < wanted:
        log.warning("connections_bounded most=%d; raise the limit of open files (ulimit -n)", found)
    return max(1, found)


class Refusals(logging.Filter):
    """Counts what is refused, and says it once a minute instead of once a connection."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self._said_at = float("-inf")

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take note of what uvicorn's log and the event loop say."""
        logging.getLogger("uvicorn.error").addFilter(self)
        loop.set_exception_handler(self.on_loop_error)

    def stop(self) -> None:
        """Hear no more of uvicorn's log, which servers of one process share."""
        logging.getLogger("uvicorn.error").removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """For uvicorn's logger: drop its line for each refused connection."""
        if record.getMessage() != _UVICORN_REFUSES:
            return True
        self.add("connections")
        return False

    def add(self, what: str) -> None:
        self._count += 1
        now = time.monotonic()
        if now - self._said_at >= _SAY_EVERY_SECONDS:
            log.warning("connections_refused count=%d; there are too many %s", self._count, what)
            self._count, self._said_at = 0, now

    def on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """For the event loop: an accept without a descriptor fails thousands of times a second."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _OUT_OF_DESCRIPTORS:
            self.add("open files")
        else:
            loop.default_exception_handler(context)
