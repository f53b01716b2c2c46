"""Where events go: to the platform, or to another address, a file, memory, or an object of your own."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from openflagship.client.callers_code import check_done


class EventSink(Protocol):
    """Takes events in batches, on the sender's thread.

    `kind` is `exposure`, `conversion`, `metrics` or `usage`. Whatever `send` raises keeps the batch, which is offered
    again later under the same ids.
    """

    def send(self, kind: str, events: Sequence[Mapping[str, Any]]) -> None: ...


@dataclass(frozen=True)
class HttpSink:
    """The API's event routes at another address, such as a collector's or an edge's.

    The server key is not sent there: whatever that address demands stands in `headers`.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def send(self, kind: str, events: Sequence[Mapping[str, Any]]) -> None:
        raise NotImplementedError("The client itself sends what goes over HTTP.")


class FileSink:
    """Appends a line of JSON for each event: `{"kind": …, "event": …}`. The file is readable by its owner alone."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)

    def send(self, kind: str, events: Sequence[Mapping[str, Any]]) -> None:
        lines = [json.dumps({"kind": kind, "event": event}, separators=(",", ":")) for event in events]
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch(0o600)
        # One write in append mode: several processes may share the file.
        # What comes before was cut off where a disk was full; its event comes again.
        start = "\n" if self._is_cut_off() else ""
        with self.path.open("ab", buffering=0) as file:
            left = memoryview((start + "".join(f"{line}\n" for line in lines)).encode())
            while left:
                left = left[file.write(left) :]

    def _is_cut_off(self) -> bool:
        """Whether the last line has no end. Neither a pipe, such as `/dev/stdout`, nor another's file tells."""
        if not self.path.is_file() or not os.access(self.path, os.R_OK):
            return False
        with self.path.open("rb") as file:
            return file.seek(0, os.SEEK_END) > 0 and file.seek(-1, os.SEEK_END) >= 0 and file.read(1) != b"\n"


class MemorySink:
    """Keeps the last events, for tests and for looking at them: `events` are pairs of kind and event."""

    def __init__(self, most: int = 10_000) -> None:
        self.events: deque[tuple[str, Mapping[str, Any]]] = deque(maxlen=most)

    def send(self, kind: str, events: Sequence[Mapping[str, Any]]) -> None:
        self.events.extend((kind, event) for event in events)

    def of(self, kind: str) -> list[Mapping[str, Any]]:
        """The events of one kind, oldest first."""
        return [event for found, event in list(self.events) if found == kind]


def delivered(sink: EventSink, kind: str, events: Sequence[str]) -> Exception | None:
    """Offer events, each as JSON, to a sink; what it raised, None where it took them."""
    try:
        send: Callable[..., object] = sink.send
        check_done(send(kind, [json.loads(event) for event in events]))
    except Exception as error:  # noqa: BLE001 - a sink may be foreign code; the batch is offered again
        return error
    return None
