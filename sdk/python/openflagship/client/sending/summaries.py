"""Usage summaries on their way out: one a minute, apart from the events, which must not wait for them."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import partial
from typing import Any

from openflagship.client.context import warn_once
from openflagship.client.sending.receipts import reason_of, receipt_of
from openflagship.client.sending.sinks import EventSink, delivered
from openflagship.client.sending.usage import Usage
from openflagship.client.transport.backoff import seconds_of
from openflagship.client.transport.effects import Call, Logic
from openflagship.client.transport.http import Response
from openflagship.ids import uuid7

log = logging.getLogger("openflagship")

USAGE = "usage"
_MOST_WAITING = 10
_AGAIN_SECONDS = 30.0
_NO_ROUTE_SECONDS = 3600.0
# The server refuses a summary of more than twice as many as a whole.
_MOST_ROWS = 10_000


class Summaries:
    """The summaries that wait, oldest first, each with its id. A server without the route is asked once an hour."""

    def __init__(
        self,
        usage: Usage,
        named: Mapping[str, str],
        every_seconds: float,
        clock: Callable[[], float],
        *,
        is_on: bool,
    ) -> None:
        """`named`: the members of each summary that say whose it is."""
        self.waiting: deque[tuple[str, str]] = deque()
        self.due_at = clock() + every_seconds
        self._usage = usage
        self._named = named
        self._every_seconds = every_seconds
        self._clock = clock
        self._is_on = is_on
        self._retry_at = clock()
        self._since = _now()

    def sum_up(self, *, is_last: bool = False) -> None:
        """Add the summary of what was counted since the last one, once it is time.

        While too many wait, counting goes on, into a later summary.
        """
        if self._clock() < self.due_at and not is_last:
            return
        self.due_at = self._clock() + self._every_seconds
        if len(self.waiting) >= _MOST_WAITING and not is_last:
            return
        found = self._usage.take()
        since, self._since = self._since, _now()
        if found is not None and self._is_on:
            summary = {**self._named, "since": _text(since), "until": _text(self._since), **found}
            self._add(summary)
            for start in range(_MOST_ROWS, len(found["flags"]), _MOST_ROWS):
                self._add({**summary, "flags": found["flags"][start:], "unknownFlags": [], "unknownFlagsUnnamed": 0})

    def _add(self, summary: dict[str, Any]) -> None:
        part = {**summary, "flags": summary["flags"][:_MOST_ROWS]}
        self.waiting.append((str(uuid7()), json.dumps(part, separators=(",", ":"))))

    def send(self, post: Callable[[str, str, str], Logic[Response]], sink: EventSink | None) -> Logic[None]:
        """Send what waits, one after the other, until one fails: to the sink, or else to the server."""
        while self.waiting and self._clock() >= self._retry_at:
            payload_id, text = self.waiting[0]
            try:
                if sink is None:
                    self.note((yield from post(USAGE, payload_id, text)))
                else:
                    self._note_handed((yield Call(partial(delivered, sink, USAGE, [text]))))
            except OSError:
                self.note_failure()

    def note_failure(self, seconds: float | None = None) -> None:
        """Keep what waits for a later attempt."""
        self._retry_at = self._clock() + max(_AGAIN_SECONDS, seconds or 0.0)

    def _note_handed(self, error: Exception | None) -> None:
        if error is None:
            self.waiting.popleft()
            return
        warn_once("", "usage", "the sink refused a usage summary: %s: %s", type(error).__name__, error)
        self.note_failure()

    def note(self, response: Response) -> None:
        """Note what the server said to the first that waits."""
        if response.status in {404, 405, 501}:
            # From before the route was; it may be a later release by then.
            self.note_failure(_NO_ROUTE_SECONDS)
            log.debug("the server has no route for usage: it is asked again in an hour")
            return
        if response.status in {400, 413, 422}:
            log.warning("the server refused a usage summary with %d%s", response.status, reason_of(response))
        elif receipt_of(response) is None:
            # As for events: what is no receipt, such as a login page, says nothing of the summary.
            self.note_failure(seconds_of(response.headers.get("retry-after")))
            return
        self.waiting.popleft()


def _now() -> datetime:
    return datetime.now(timezone.utc)  # noqa: UP017 - Python 3.10


def _text(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds")
