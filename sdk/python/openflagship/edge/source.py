"""One environment on an edge: the client that follows it, its snapshot as bytes, and who listens to it here."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from openflagship.client import AsyncFlagShip
from openflagship.client.sse import ServerEvent
from openflagship.engine import Answer, CompiledEnvironment, Context
from openflagship.serving import Desk
from openflagship.stream_kinds import SNAPSHOT

MOST_EVENTS_KEPT = 1_000
MOST_EVENTS_WAITING = 1_024
OFREP_TOKEN_SECONDS = 3_600


def name_of(server_key: str) -> str:
    """Names an environment where its key may not be shown: in metrics, and as a file's name."""
    return hashlib.sha256(server_key.encode()).hexdigest()[:16]


class Listener:
    """One stream; closed where it does not read fast enough, to come back with its Last-Event-ID."""

    __slots__ = ("is_closed", "queue")

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.is_closed = False

    def offer(self, data: bytes | None) -> None:
        if self.is_closed:
            return
        if data is None or self.queue.qsize() >= MOST_EVENTS_WAITING:
            self.is_closed = True
            data = None
        self.queue.put_nowait(data)


class EdgeClient(AsyncFlagShip):
    """A client whose events and changes pass through to others."""

    @property
    def expose_each(self) -> Callable[[str, str, str, Answer, int], None]:
        """What records an exposure under the id that the caller was given."""
        return self._queue.expose_each

    def relay_acknowledgement(self, instance: str, version: int, sdk: str) -> None:
        self._sender.relay_acknowledgement(instance, version, sdk)
        self._wake_sender()

    @property
    def tls(self) -> ssl.SSLContext:
        return self._tls

    def pass_changes_to(self, source: Source) -> None:
        self._configuration.tap = source.changed


class Source:
    """Lives on the event loop, as the client's tasks do: joining and passing on never overlap.

    It is also what its desk tells its answers to.
    """

    def __init__(
        self,
        client: EdgeClient,
        server_key: str,
        signing_secret: str | None,
        count: Callable[[str], None],
        settled: Callable[[], None],
    ) -> None:
        """`settled` is called after each configuration that was taken as a whole."""
        self.client = client
        self.count = count
        self._expose_each = client.expose_each
        self._settled = settled
        self._desk = Desk(client.environment)
        self.server_key = server_key
        self.name = name_of(server_key)
        self.listeners: set[Listener] = set()
        # Of OFREP's event stream: they are told that something has changed, and never what.
        self.ofrep_listeners: set[Listener] = set()
        self._signing_secret = signing_secret
        self._events: deque[tuple[int, bytes]] = deque(maxlen=MOST_EVENTS_KEPT)
        # From which version on every later event is kept.
        self._kept_from = client.environment.version
        self._made: tuple[CompiledEnvironment, bytes, bytes, str] | None = None
        client.pass_changes_to(self)

    @property
    def desk(self) -> Desk:
        environment = self.client.environment
        if self._desk.environment is not environment:
            self._desk = Desk(environment)
        return self._desk

    def expose(self, evaluation_id: str, key: str, unit: str, answer: Answer, _context: Context, unix_ms: int) -> None:
        self._expose_each(evaluation_id, key, unit, answer, unix_ms)

    def changed(self, events: list[ServerEvent] | None) -> None:
        """The client's configuration has changed: by these events, or as a whole."""
        for listener in tuple(self.ofrep_listeners):
            listener.offer(self._refetch())
        if events is None:
            self._events.clear()
            self._kept_from = self.client.environment.version
            if self.listeners:
                self._broadcast(self.snapshot_event())
            self._settled()
            return
        for event in events:
            data = _sse(event.id, event.kind, event.data.encode())
            if event.id is not None:
                if len(self._events) == MOST_EVENTS_KEPT:
                    self._kept_from = self._events[0][0]
                self._events.append((int(event.id), data))
            self._broadcast(data)

    def join(self, last: int | None) -> Listener:
        """A stream that begins with what is missing after version `last`, or with the whole."""
        listener = Listener()
        if last is None or not self._kept_from <= last <= self.client.environment.version:
            listener.offer(self.snapshot_event())
        else:
            missing = b"".join(data for version, data in self._events if version > last)
            if missing:
                listener.offer(missing)
        self.listeners.add(listener)
        return listener

    def join_ofrep(self, last: int | None) -> Listener:
        """A stream that says when to evaluate again; at once where something has changed since version `last`."""
        listener = Listener()
        if last is not None and last != self.client.environment.version:
            listener.offer(self._refetch())
        self.ofrep_listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        self.listeners.discard(listener)
        self.ofrep_listeners.discard(listener)

    def _refetch(self) -> bytes:
        # Unnamed: OFREP's clients hear no named events.
        return b'id: %d\ndata: {"type":"refetchEvaluation"}\n\n' % self.client.environment.version

    def ofrep_token(self) -> str:
        """For the stream's address, since EventSource sends no headers; edges with the same server key take it too."""
        until = int(time.time()) + OFREP_TOKEN_SECONDS
        return f"{self.name}.{until}.{self._ofrep_signature(until)}"

    def takes_ofrep_token(self, token: str) -> bool:
        name, _, rest = token.partition(".")
        until, _, signature = rest.partition(".")
        if (
            name != self.name
            or not (until.isascii() and until.isdigit() and len(until) <= 12)
            or int(until) < time.time()
        ):
            return False
        return hmac.compare_digest(signature.encode(), self._ofrep_signature(int(until)).encode())

    def _ofrep_signature(self, until: int) -> str:
        return hmac.new(self.server_key.encode(), b"ofrep.stream.%d" % until, hashlib.sha256).hexdigest()[:32]

    def snapshot_event(self) -> bytes:
        return _sse(str(self.client.environment.version), SNAPSHOT, self.snapshot()[0])

    def snapshot(self) -> tuple[bytes, bytes, str]:
        """Body, packed body and ETag; made once for each version."""
        environment = self.client.environment
        if self._made is None or self._made[0] is not environment:
            body = environment.text().encode()
            etag = f'"{environment.version}-{hashlib.sha256(body).hexdigest()[:24]}"'
            self._made = (environment, body, gzip.compress(body, 6, mtime=0), etag)
        return self._made[1:]

    def signature(self, body: bytes) -> str | None:
        if self._signing_secret is None:
            return None
        return "sha256=" + hmac.new(self._signing_secret.encode(), body, hashlib.sha256).hexdigest()

    def close(self) -> None:
        self._broadcast(None)
        for listener in tuple(self.ofrep_listeners):
            listener.offer(None)

    def status(self) -> dict[str, Any]:
        status = self.client.status()
        return {
            "ready": status.is_ready,
            "connection": status.connection,
            "source": status.source,
            "configVersion": status.config_version,
            "stale": status.is_stale,
            "ageSeconds": status.age_seconds,
            "error": status.error,
        }

    def _broadcast(self, data: bytes | None) -> None:
        for listener in tuple(self.listeners):
            listener.offer(data)


def _sse(event_id: str | None, kind: str, data: bytes) -> bytes:
    head = b"" if event_id is None else b"id: %s\n" % event_id.encode()
    lines = b"\n".join(b"data: " + line for line in data.split(b"\n"))
    return b"%sevent: %s\n%s\n\n" % (head, kind.encode(), lines)
