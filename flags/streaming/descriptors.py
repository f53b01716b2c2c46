"""File descriptors: how many connections a stream process may have, and one line a minute once it has them."""

import asyncio
import errno
import logging
import resource
import time
from typing import Any

import structlog
from django.conf import settings

from tenancy.process_memory import on_reset

log = structlog.get_logger(__name__)

# For servers, log files, the listening socket, and connections that are being refused.
RESERVED = 64
_SAY_EVERY_SECONDS = 60.0
_OUT_OF_DESCRIPTORS = {errno.EMFILE, errno.ENFILE}
_UVICORN_REFUSES = "Exceeded concurrency limit."


def most_connections() -> int:
    """STREAM_MAX_CONNECTIONS, or what the process's descriptors allow. It takes as many as the system grants."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.STREAM_MAX_CONNECTIONS + RESERVED
    if soft != resource.RLIM_INFINITY and soft < wanted:
        granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
        soft = granted
    found = settings.STREAM_MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(wanted, soft) - RESERVED
    if found < settings.STREAM_MAX_CONNECTIONS:
        log.warning("stream_connections_bounded", most=found, remedy="raise the limit of open files (ulimit -n)")
    return max(1, found)


class Refusals(logging.Filter):
    """Counts what is refused, and says it once a minute instead of once a connection."""

    def __init__(self) -> None:
        super().__init__()
        self.reset()

    def reset(self) -> None:
        self._count = 0
        self._said_at = float("-inf")

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
            log.warning("stream_refuses", because=f"too many {what}", count=self._count)
            self._count, self._said_at = 0, now

    def on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """For the event loop: an accept without a descriptor fails thousands of times a second."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _OUT_OF_DESCRIPTORS:
            self.add("open files")
        else:
            loop.default_exception_handler(context)


REFUSALS = Refusals()
on_reset(REFUSALS.reset)
