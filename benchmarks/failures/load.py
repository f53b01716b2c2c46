"""Callers that never stop: evaluations, events, streams and an SDK, each through the proxy, with what they saw."""

import http.client
import json
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from flags.testing.streams import Stream

PAUSE_SECONDS = 0.02  # fifty a second


@dataclass(slots=True)
class Seen:
    """Each evaluation: when it began, how long it took, its status (0: no answer), and the answer."""

    at: float
    seconds: float
    status: int
    answer: dict[str, Any]


class Caller(threading.Thread):
    """Calls again and again until told to stop; what goes wrong is noted, never raised."""

    def __init__(self, host: str, port: int, key: str, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._host, self._port, self._key = host, port, key
        self.is_over = threading.Event()

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=15)
        try:
            headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"{}")
        except (OSError, http.client.HTTPException, ValueError):
            return 0, {}
        finally:
            connection.close()

    def run(self) -> None:
        while not self.is_over.is_set():
            started = time.monotonic()
            self.call()
            self.is_over.wait(max(0.0, PAUSE_SECONDS - (time.monotonic() - started)))

    def call(self) -> None:
        raise NotImplementedError


class Evaluations(Caller):
    """Fifty evaluations a second of one flag."""

    def __init__(self, *about: Any) -> None:
        super().__init__(*about, "evaluations")
        self.seen: list[Seen] = []

    def call(self) -> None:
        at = time.monotonic()
        status, answer = self.post("/api/evaluate", {"flagKey": "flag-0", "userId": f"user-{len(self.seen)}"})
        self.seen.append(Seen(at, time.monotonic() - at, status, answer))

    def between(self, start: float, end: float) -> list[Seen]:
        return [one for one in self.seen if start <= one.at < end]


class Events(Caller):
    """Conversions with ids of their own; one that is refused or unanswered is sent again, as an SDK does."""

    def __init__(self, *about: Any) -> None:
        super().__init__(*about, "events")
        self.accepted: set[str] = set()
        self._unsent: list[str] = []

    def call(self) -> None:
        event_id = self._unsent.pop() if self._unsent else str(uuid.uuid4())
        body = {"eventId": event_id, "eventName": "bought", "userId": event_id}
        status, _ = self.post("/api/events/conversion", body)
        (self.accepted.add if status == 202 else self._unsent.append)(event_id)


@dataclass
class Follower:
    """A stream client that reconnects with the last id it has, and the versions it was told."""

    host: str
    port: int
    key: str
    versions: list[int] = field(default_factory=list)
    last: int | None = None
    is_over: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        threading.Thread(target=self._run, name="follower", daemon=True).start()

    def _run(self) -> None:
        while not self.is_over.is_set():
            try:
                stream = Stream(self.port, self.key, host=self.host, last=self.last)
                while stream.status == 200 and not self.is_over.is_set():
                    event = stream.next()
                    if event is None:
                        break
                    if event.id is not None:
                        self.last = event.id
                        self.versions.append(event.id)
                stream.close()
            except (OSError, ValueError):
                pass
            self.is_over.wait(0.2)
