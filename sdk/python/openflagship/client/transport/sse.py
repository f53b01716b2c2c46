"""Server-sent events from bytes, as the HTML standard reads them. The size of one event is limited."""

from __future__ import annotations

import re
from dataclasses import dataclass

MOST_EVENT_BYTES = 256 * 1024 * 1024
# More is no number that anybody means.
MOST_DIGITS = 15
_MOST_SIGNATURES = 4
_AGE = re.compile(r"\bage=(\d{1,9}(?:\.\d{1,6})?)")


class EventTooLargeError(ValueError):
    """One event is larger than the limit."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """`id` is None for an event without an id (the standard would repeat the last one).

    `signatures` come in a field of FlagShip's own; other clients ignore it, as the standard says.
    """

    kind: str
    data: str
    id: str | None = None
    signatures: tuple[str, ...] = ()


class EventParser:
    """Takes bytes as they come. `retry_milliseconds` is the pause that the server asked for last.

    `comments` counts the whole comments, which are keep-alives. `age_seconds` is what the last one said of its sender:
    for how long that has heard nothing from its own source.
    """

    def __init__(self, most_bytes: int = MOST_EVENT_BYTES) -> None:
        self.retry_milliseconds: int | None = None
        self.comments = 0
        self.age_seconds: float | None = None
        self._most_bytes = most_bytes
        self._pieces: list[bytes] = []
        self._size = 0
        self._is_start = True
        self._ends_in_cr = False
        self._forget()

    @property
    def waiting_bytes(self) -> int:
        """The size of the event that is not complete yet."""
        return self._size

    def feed(self, data: bytes) -> list[ServerEvent]:
        """Add bytes; return the events that are now complete. Raises EventTooLargeError."""
        if self._ends_in_cr and data:
            # The LF of a CR LF whose CR ended the previous piece.
            self._ends_in_cr = False
            data = data.removeprefix(b"\n")
        if not data:
            return []
        self._ends_in_cr = data.endswith(b"\r")
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._size += len(data)
        if b"\n" not in data:
            self._pieces.append(data)
            self._check_size()
            return []
        lines = (b"".join(self._pieces) + data).split(b"\n")
        self._pieces = [lines.pop()]
        events = [event for line in lines if (event := self._line(line)) is not None]
        self._size = len(self._pieces[0]) + self._kept_bytes
        self._check_size()
        return events

    def _check_size(self) -> None:
        if self._size > self._most_bytes:
            raise EventTooLargeError(f"an event takes more than {self._most_bytes} bytes")

    def _forget(self) -> None:
        self._kind = ""
        self._data: list[str] = []
        self._id: str | None = None
        self._signatures: list[str] = []
        # Of all fields since the last event, whatever is kept of them.
        self._kept_bytes = 0

    def _line(self, raw: bytes) -> ServerEvent | None:
        line = raw.decode("utf-8", "replace")
        if self._is_start:
            self._is_start = False
            line = line.removeprefix("\ufeff")
        if not line:
            data = "\n".join(self._data)
            event = (
                ServerEvent(self._kind or "message", data, self._id, tuple(self._signatures)) if self._data else None
            )
            self._forget()
            return event
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name:
            self.comments += 1
            age = _AGE.search(value)
            self.age_seconds = None if age is None else float(age[1])
            return None
        self._kept_bytes += len(raw) + 1
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._kind = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "signature" and len(self._signatures) < _MOST_SIGNATURES:
            self._signatures.append(value)
        elif name == "retry" and value.isascii() and value.isdigit() and len(value) <= MOST_DIGITS:
            self.retry_milliseconds = int(value)
        return None
