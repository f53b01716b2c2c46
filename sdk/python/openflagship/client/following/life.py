"""Whether the sender of a stream of events is alive. A peer that drips a byte now and then is like a silent one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from openflagship.client.transport.effects import Logic
from openflagship.client.transport.http import Exchange
from openflagship.client.transport.sse import EventParser, ServerEvent

# An event may take longer than a keep-alive, where it is large; at least this much of it has to come each second.
_LEAST_BYTES_A_SECOND: Final = 16 * 1024


class Sign(NamedTuple):
    """What came whole: events, a comment, or both. `age_seconds` is what the comment said of its sender."""

    events: list[ServerEvent]
    has_comment: bool
    age_seconds: float | None


class Signs:
    """The signs of life of one stream: whole comments and whole events."""

    def __init__(self, exchange: Exchange, silence_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._exchange = exchange
        self._silence_seconds = silence_seconds
        self._clock = clock
        self._parser = EventParser()
        self._sign_at = clock()

    @property
    def retry_milliseconds(self) -> int | None:
        """The pause that the sender asked for last."""
        return self._parser.retry_milliseconds

    def next(self) -> Logic[Sign | None]:
        """The next sign; None at the end. Raises OSError, for too long a silence too, and EventTooLargeError."""
        parser, silence = self._parser, self._silence_seconds
        while True:
            left = self._sign_at + silence + parser.waiting_bytes / _LEAST_BYTES_A_SECOND - self._clock()
            if left <= 0:
                raise TimeoutError(f"timed out: no sign of life on the stream for {silence:g} s")
            data = yield from self._exchange.read(left)
            if not data:
                return None
            comments = parser.comments
            events = parser.feed(data)
            has_comment = parser.comments != comments
            if has_comment or events:
                self._sign_at = self._clock()
                return Sign(events, has_comment, parser.age_seconds)
            # Part of an event, or a byte now and then: no sign that its sender is well.
