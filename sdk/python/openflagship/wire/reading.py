"""How long a body may take to arrive, and how large it may be; whatever reads one says so alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from openflagship.wire.errors import RefusedError

# A body has so long. After that a large one must go on at this rate.
BODY_SECONDS: Final = 10.0
LEAST_BYTES_A_SECOND: Final = 64 * 1024
# Of a body that is refused the rest is not read.
CLOSE: Final = [("Connection", "close")]


class GoneError(Exception):
    """The caller hung up before its request was complete, so there is nobody to answer."""


def late() -> RefusedError:
    """The refusal of a body that does not come in time."""
    detail = f"The body did not arrive within {BODY_SECONDS:g} seconds. Send it again."
    return RefusedError(408, detail, code="request_timeout", headers=CLOSE)


def too_large(most_bytes: int) -> RefusedError:
    """The refusal of a body that is larger than its route takes."""
    return RefusedError(413, f"The body is larger than {most_bytes:,} bytes; send less, or split it.", headers=CLOSE)


def whole_body(message: MutableMapping[str, Any], most_bytes: int) -> bytes:
    """The body of an ASGI request that has come in one message. Raises RefusedError for one that is larger."""
    content: bytes = message["body"]
    if len(content) > most_bytes:
        raise too_large(most_bytes)
    return content


async def read_body(receive: Callable[[], Awaitable[MutableMapping[str, Any]]], most_bytes: int) -> bytes:
    """An ASGI request's body, as it comes.

    Raises RefusedError for one that is larger or that does not come in time, GoneError where the caller hangs up.
    """
    began, pieces, size = time.monotonic(), [], 0
    while True:
        left = BODY_SECONDS + size / LEAST_BYTES_A_SECOND - (time.monotonic() - began)
        try:
            message = await asyncio.wait_for(receive(), left)
        except asyncio.TimeoutError:  # noqa: UP041 - another class on Python 3.10
            raise late() from None
        if message["type"] != "http.request":
            raise GoneError
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > most_bytes:
            raise too_large(most_bytes)
        if not message.get("more_body"):
            return b"".join(pieces)
