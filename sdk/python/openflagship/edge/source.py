"""One environment on an edge: the client that follows it, its snapshot as bytes, and its listeners."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
import ssl
from collections import deque
from collections.abc import Callable, MutableMapping
from typing import Any

from openflagship.client import AsyncFlagShip
from openflagship.client.following.configuration import Configuration
from openflagship.client.sending.usage import Usage
from openflagship.client.transport.sse import ServerEvent
from openflagship.edge.listeners import Listener
from openflagship.engine import Answer, CompiledEnvironment, Context
from openflagship.stream_kinds import SNAPSHOT
from openflagship.wire import ofrep_tokens, sse
from openflagship.wire.acknowledgements import Acknowledgement
from openflagship.wire.answers import Responder

MOST_EVENTS_KEPT = 1_000
# Between an environment and a caller in a token.
_CALLER_MARK = "~"
# Members of `/readyz`, and where a snapshot has them.
_PARTS = {"organization": "organization", "project": "project", "environment": "key"}


def name_of(server_key: str) -> str:
    """A public name for an environment whose key is secret: for metrics and file names."""
    return hashlib.sha256(server_key.encode()).hexdigest()[:16]


class EdgeClient(AsyncFlagShip):
    """A client that passes events and changes on to others, and answers for them."""

    _source_of_use = "edge"

    @property
    def usage(self) -> Usage:
        """What this edge answered by itself, for its summaries."""
        return self._usage

    @property
    def expose_each(self) -> Callable[[str, str, str, Answer, int, bool], None]:
        """Records an exposure under the id that the caller was given."""
        return self._queue.expose_each

    def relay_acknowledgement(self, said: Acknowledgement) -> None:
        self._sender.relay_acknowledgement(said)
        self._wake_sender()

    def _warn_not_started(self) -> None:
        """Say nothing: an edge is asked for its state while it starts, too."""

    @property
    def _is_lasting(self) -> bool:
        """An edge that serves from a file says how old that is, and marks it stale like any other."""
        return False

    async def watch_staleness(self) -> None:
        """Do, without a follower, what it would: mark answers stale when it is time."""
        pause = self._configuration.watch_staleness()
        while pause > 0:
            await asyncio.sleep(pause)
            pause = self._configuration.watch_staleness()

    @property
    def tls(self) -> ssl.SSLContext:
        return self._tls

    @property
    def held(self) -> Configuration:
        return self._configuration

    def pass_changes_to(self, source: Source) -> None:
        self._configuration.tap = source.changed


class Source:
    """Lives on the event loop, like the client's tasks, so that `join` and `changed` never overlap.

    It is also the recorder of its responder.
    """

    def __init__(
        self,
        client: EdgeClient,
        server_key: str,
        *,
        name: str = "",
        signing_secret: str | None = None,
        evaluations: MutableMapping[str, int],
        settled: Callable[[], None],
    ) -> None:
        """`name`: what people see of it. `evaluations` are counted by reason.

        `settled` is called whenever the configuration was replaced as a whole.
        """
        self.client = client
        self._held = client.held
        self._evaluations = evaluations
        self._usage = client.usage
        self._expose_each = client.expose_each
        self._settled = settled
        self._responder = Responder(client.environment)
        self.server_key = server_key
        # Public, and alike on every edge with this key.
        self.id = name_of(server_key)
        self.name = name or self.id
        self.listeners: set[Listener] = set()
        # Listeners to OFREP's event stream hear that something has changed, and never what.
        self.ofrep_listeners: set[Listener] = set()
        # Called with the events of a change; with None where everything may be otherwise, and at the end.
        self.observers: set[Callable[[list[ServerEvent] | None], None]] = set()
        self._signing_secret = signing_secret
        self._events: deque[tuple[int, bytes]] = deque(maxlen=MOST_EVENTS_KEPT)
        # The buffer holds every event after this version.
        self._kept_from = client.environment.version
        self.is_closed = False
        self._made: tuple[CompiledEnvironment, bytes, bytes, str] | None = None
        client.pass_changes_to(self)

    @property
    def responder(self) -> Responder:
        environment = self._held.environment
        if self._responder.environment is not environment:
            self._responder = Responder(environment)
        return self._responder

    @property
    def has_configuration(self) -> bool:
        return self._held.environment.version != 0 or self._held.is_had

    @property
    def organization(self) -> str:
        return str(self.client.environment.header.get("organization", ""))

    @property
    def environment_key(self) -> str:
        return str(self.client.environment.header.get("key", ""))

    def count(self, key: str, answer: Answer) -> None:
        self._evaluations[answer.reason] += 1
        # As `Usage.count` does it, without a call.
        try:
            answer.uses[0] += 1
        except AttributeError:
            if answer.error_code is None:
                self._usage.begin(key, answer)
            else:
                self._usage.count_failure(key, answer)

    def expose(  # noqa: PLR0917 as its protocol has it
        self,
        evaluation_id: str,
        key: str,
        unit: str,
        answer: Answer,
        _context: Context,
        unix_ms: int,
        is_prefetched: bool = False,
    ) -> None:
        self._expose_each(evaluation_id, key, unit, answer, unix_ms, is_prefetched)

    def changed(self, events: list[ServerEvent] | None) -> None:
        """Pass on a change of the client's configuration: these events, or None for a whole new one."""
        for listener in tuple(self.ofrep_listeners):
            listener.offer(self._refetch())
        for observe in tuple(self.observers):
            observe(events)
        if events is None:
            self._events.clear()
            self._kept_from = self.client.environment.version
            if self.listeners:
                self._broadcast(self.snapshot_event())
            self._settled()
            return
        for event in events:
            data = sse.event(event.kind, event.data.encode(), event_id=event.id)
            if event.id is not None:
                if len(self._events) == MOST_EVENTS_KEPT:
                    self._kept_from = self._events[0][0]
                self._events.append((int(event.id), data))
            self._broadcast(data)

    def join(self, last: int | None, is_live: Callable[[], bool] = lambda: True) -> Listener:
        """Open a stream. It starts with the events after version `last`, or with a snapshot.

        `is_live` says whether the key that it was opened with is still one.
        """
        listener = Listener(is_live)
        if last is None or not self._kept_from <= last <= self.client.environment.version:
            listener.offer(self.snapshot_event())
        else:
            missing = b"".join(data for version, data in self._events if version > last)
            if missing:
                listener.offer(missing)
        self.listeners.add(listener)
        return listener

    def join_ofrep(self, last: int | None, is_live: Callable[[], bool]) -> Listener:
        """Open a stream that says when to evaluate again: at once where something changed after version `last`."""
        listener = Listener(is_live)
        if last is not None and last != self.client.environment.version:
            listener.offer(self._refetch())
        self.ofrep_listeners.add(listener)
        return listener

    def end_revoked(self) -> None:
        """End the streams whose key is live no longer."""
        for listener in (*self.listeners, *self.ofrep_listeners):
            if not listener.is_live():
                listener.offer(None)
        # Whoever listens otherwise looks after its own key.
        for observe in tuple(self.observers):
            observe([])

    @property
    def stream_count(self) -> int:
        """How many follow it: SDKs, further edges, browsers by OFREP, and callers of gRPC."""
        return len(self.listeners) + len(self.ofrep_listeners) + len(self.observers)

    def leave(self, listener: Listener) -> None:
        self.listeners.discard(listener)
        self.ofrep_listeners.discard(listener)

    def _refetch(self) -> bytes:
        return sse.refetch_event(self.client.environment.version)

    def ofrep_token(self, caller: str) -> str:
        """A token for the stream's address. It stands for the key with this public name.

        Edges with the same server key accept it too, as long as they take that key.
        """
        return ofrep_tokens.make_token(f"{self.id}{_CALLER_MARK}{caller}", self.server_key)

    def caller_of(self, token: str) -> str | None:
        """The public name of the key that the token stands for; None for a token of another environment, or too old."""
        name, _, caller = ofrep_tokens.subject_of(token).partition(_CALLER_MARK)
        return caller if name == self.id and ofrep_tokens.is_valid(token, self.server_key) else None

    def snapshot_event(self) -> bytes:
        body = self.snapshot()[0]
        signature = self.signature(body)
        signatures = () if signature is None else (signature,)
        return sse.event(SNAPSHOT, body, event_id=self.client.environment.version, signatures=signatures)

    def snapshot(self) -> tuple[bytes, bytes, str]:
        """Body, compressed body and ETag, made once for each version."""
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
        self.is_closed = True
        self._broadcast(None)
        for listener in tuple(self.ofrep_listeners):
            listener.offer(None)
        for observe in tuple(self.observers):
            observe(None)

    @property
    def age_seconds(self) -> float | None:
        """How long ago the configuration was last known to be current, by all who passed it on."""
        return self.client.status().age_seconds

    def status(self) -> dict[str, Any]:
        """For `/readyz`. `state`: ready, starting, or failing where the server is away, refuses, or sends no use."""
        status = self.client.status()
        header = self.client.environment.header
        return {
            "name": self.name,
            "state": "ready" if status.is_ready else "starting" if status.error is None else "failing",
            "ready": status.is_ready,
            **{part: header.get(name) for part, name in _PARTS.items()},
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
