"""Server-sent events: the response's headers, events as bytes, and the age that a sender tells of itself.

A sender's age is how many seconds ago it last knew that what it tells is current. A keep-alive comment carries it, and
so does a header of each snapshot. Whoever passes a configuration on adds its own silence, so the age is honest behind
any number of processes.
"""

from __future__ import annotations

import math
import random
from typing import Final

HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    # nginx would otherwise hold events back until a buffer is full.
    (b"x-accel-buffering", b"no"),
)
AGE_HEADER: Final = "X-FlagShip-Age"
_RETRY_MILLISECONDS: Final = (1_000, 3_000)


def event(kind: str, data: bytes, *, event_id: int | str | None = None, signatures: tuple[str, ...] = ()) -> bytes:
    """One event. `signatures` go into a field that other clients ignore, as the HTML standard says."""
    head = b"" if event_id is None else b"id: %s\n" % str(event_id).encode()
    head += b"".join([b"signature: %s\n" % signature.encode() for signature in signatures])
    if b"\n" in data:
        data = data.replace(b"\n", b"\ndata: ")
    return b"%sevent: %s\ndata: %s\n\n" % (head, kind.encode(), data)


def refetch_event(version: int | None) -> bytes:
    """Tell OFREP's clients to evaluate again. The event has no name, because they hear no named ones."""
    head = b"" if version is None else b"id: %d\n" % version
    return head + b'data: {"type":"refetchEvaluation"}\n\n'


def retry(milliseconds: int) -> bytes:
    """Tell the client how long to wait before it connects again."""
    return b"retry: %d\n\n" % milliseconds


def first_retry() -> bytes:
    """`retry` with jitter: the clients of a process that ends do not all come back in the same instant."""
    return retry(first_retry_milliseconds())


def first_retry_milliseconds() -> int:
    return random.randint(*_RETRY_MILLISECONDS)  # noqa: S311 - jitter, not a secret


def age_text(age_seconds: float | None) -> str:
    """An age in whole seconds; empty where it is not known."""
    return "" if age_seconds is None or not math.isfinite(age_seconds) else str(max(0, int(age_seconds)))


def keep_alive(age_seconds: float | None) -> bytes:
    """The comment that breaks a silence, such as `: keep-alive age=12`."""
    return _age_comment(age_seconds) + b"\n"


def audible_keep_alive(age_seconds: float | None) -> bytes:
    """The same for a page, which hears no comments: an event with a name, which OFREP's own clients pass over."""
    return keep_alive(age_seconds) + b"event: keep-alive\ndata: {}\n\n"


def first_part(age_seconds: float | None) -> bytes:
    """What a stream begins with: how old its sender's knowledge is, and when to come back."""
    return _age_comment(age_seconds) + first_retry()


def _age_comment(age_seconds: float | None) -> bytes:
    age = age_text(age_seconds)
    return b": keep-alive age=%b\n" % age.encode() if age else b": keep-alive\n"


def last_event_id(text: str) -> int | None:
    """A `Last-Event-ID` as a version. None asks for a snapshot: no id was sent, or one that is no version."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
