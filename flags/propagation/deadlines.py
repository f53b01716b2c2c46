"""A bound for questions to a database that neither answers nor hangs up, as a stopped server does."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.db import connections

# A process asks for versions in a millisecond. Where that takes so long, PostgreSQL is away.
DATABASE_SECONDS = 5.0


@contextmanager
def broken_off_after(seconds: float) -> Iterator[None]:
    """Break this thread's database connection where the block takes longer. The block then raises DatabaseError."""
    timer = threading.Timer(seconds, _break, (connections["default"],))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _break(wrapper: Any) -> None:
    raw = wrapper.connection
    if raw is None or raw.closed:
        return
    # The socket belongs to libpq, which would not wake up if it were closed. Ending its traffic wakes it.
    with suppress(OSError), socket.socket(fileno=os.dup(raw.fileno())) as ours:
        ours.shutdown(socket.SHUT_RDWR)
