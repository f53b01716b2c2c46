"""An environment's recent events in memory, without a gap up to its current version, and its clients."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from flags.streaming.client import Client
from flags.streaming.stream_events import StreamEvent

MOST_BYTES_KEPT = 16 * 1024 * 1024


class Feed:
    """Lives on the event loop, so that joining and broadcasting do not overlap."""

    def __init__(self, environment_id: int, version: int, *, most_events: int) -> None:
        self.environment_id = environment_id
        self.version = version
        self.clients: set[Client] = set()
        # Whether earlier events were read from the version log, which is done once.
        self.has_history = False
        self._most_events = most_events
        self._events: deque[StreamEvent] = deque()
        self._bytes = 0

    @property
    def oldest(self) -> int:
        """The version after which every event is here."""
        return self._events[0].version - 1 if self._events else self.version

    def covers(self, version: int) -> bool:
        return self.oldest <= version <= self.version

    def since(self, version: int) -> list[StreamEvent]:
        """The events after `version`, for which `covers` is true."""
        return [self._events[index] for index in range(len(self._events) - (self.version - version), len(self._events))]

    def broadcast(self, event: StreamEvent) -> None:
        """Keep a new event and offer it to every client."""
        if event.version <= self.version:
            return
        if not event.is_ahead:
            self.version = event.version
            self._events.append(event)
            self._bytes += len(event.sse)
        while len(self._events) > self._most_events or (self._bytes > MOST_BYTES_KEPT and len(self._events) > 1):
            self._bytes -= len(self._events.popleft().sse)
        for client in tuple(self.clients):
            client.offer(event)

    def prepend(self, history: Iterable[StreamEvent]) -> None:
        """Put earlier events before those that are here, as long as there is no gap and there is room."""
        for event in sorted(history, key=lambda event: -event.version):
            if len(self._events) >= self._most_events or self._bytes + len(event.sse) > MOST_BYTES_KEPT:
                return
            if event.version == self.oldest:
                self._events.appendleft(event)
                self._bytes += len(event.sse)

    def restart(self, snapshot: StreamEvent) -> None:
        """Begin again from a snapshot, after the environment was loaded afresh and its steps are not known."""
        self._events.clear()
        self._bytes = 0
        self.has_history = False
        has_gone_back = snapshot.version < self.version
        self.version = snapshot.version
        for client in tuple(self.clients):
            if has_gone_back:
                client.version = -1
            client.offer(snapshot)
