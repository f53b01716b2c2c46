"""A mocked server on a real socket. What it was asked is in lists; what it answers may be scripted, path by path."""

from __future__ import annotations

import gzip
import hashlib
import json
import select
import socket
import socketserver
import ssl
import threading
import time
from collections import defaultdict, deque
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from openflagship.engine import CompiledEnvironment
from openflagship.wire.answers import Responder

from sdk.conformance.answers import STREAM_HEAD, Answer, Asked, Call, head, status
from sdk.conformance.documents import SERVER_KEY, signature, sse

SNAPSHOT, STREAM, ACKNOWLEDGE = "/api/snapshot", "/api/stream", "/api/stream/ack"
# A page asks for one user's answers, and for a stream that only says when to ask again. Cases call them by the names
# of what a server asks for in their place.
_ANSWERS, _NEWS = "/ofrep/v1/evaluate/flags", "/ofrep/v1/stream"
_OF_PAGES = {_ANSWERS: SNAPSHOT, _NEWS: STREAM}
_ASK_AGAIN = b'data: {"type":"refetchEvaluation"}\n\n'
# A page hears no comments.
_AUDIBLE = b"event: keep-alive\ndata: {}\n\n"
_PAGES_RETRY = b"retry: 50\n\n"
# A certificate for 127.0.0.1 that signs itself.
CERTIFICATE = Path(__file__).parents[1] / "python" / "tests" / "data" / "tls.pem"
_PATIENCE_SECONDS = 60.0


class Endpoints:
    """The server's data plane. `scripts` maps a path to answers that are given in turn before the usual one."""

    def __init__(self, *flags: dict[str, Any], is_tls: bool = False) -> None:
        self.version = 1
        self.flags = {one["key"]: one for one in flags}
        self.segments: dict[str, Any] = {}
        self.key = SERVER_KEY
        self.secret = ""
        self.snapshot_headers: dict[str, str] = {}
        self.stream_headers: dict[str, str] = {}
        self.scripts: dict[str, deque[Answer]] = defaultdict(deque)
        # The same for every request until it is taken away.
        self.always: dict[str, Answer] = {}
        self.asked: list[Asked] = []
        # Posts of events that were taken.
        self.accepted: list[Asked] = []
        self.open_connections = 0
        self.streams: list[Call] = []
        self.most_streams = 0
        self.is_gone = threading.Event()
        self._steps: list[tuple[int, bytes]] = []
        self._connections: set[socket.socket] = set()
        self._lock = threading.RLock()
        self._tls: ssl.SSLContext | None = None
        self.is_tls = is_tls
        # Bound and not listening: nobody else is given the port while the server is away.
        self._holder = socket.socket()
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._holder.bind(("127.0.0.1", 0))
        self.port: int = self._holder.getsockname()[1]
        self.url = f"{'https' if is_tls else 'http'}://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        if self.is_tls:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(CERTIFICATE)
        else:
            self._tls = None
        self.is_gone.clear()
        self._server = _Server(("127.0.0.1", self.port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Go away as a killed process does: every connection is cut, and none is begun any more."""
        if self.is_gone.is_set():
            return
        self.is_gone.set()
        self._server.shutdown()
        self._server.server_close()
        with self._lock:
            connections = tuple(self._connections)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(_PATIENCE_SECONDS)

    def close(self) -> None:
        self.stop()
        self._holder.close()

    # -- What is served ----------------------------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        return {
            "contract": 1,
            "environment": {"organization": "acme", "project": "web", "key": "production", "salt": ""},
            "version": self.version,
            "flags": self.flags,
            "segments": self.segments,
        }

    def body(self) -> bytes:
        return json.dumps(self.document()).encode()

    def change(self, document: dict[str, Any], kind: str = "flag_updated") -> None:
        """Take a flag or a segment as the next version, and tell every stream."""
        with self._lock:
            self.version += 1
            kept = self.segments if kind == "segment_updated" else self.flags
            if document.get("deleted"):
                kept.pop(document["key"], None)
            else:
                kept[document["key"]] = document
            self._steps.append((self.version, sse(kind, document, self.version)))
            self.say(self._steps[-1][1])

    def replace(self, document: dict[str, Any]) -> None:
        """Tell every stream a whole new configuration, as the next version."""
        with self._lock:
            self.version += 1
            self.flags, self.segments = document.get("flags", {}), document.get("segments", {})
            self.say(sse("snapshot", {**document, "version": self.version}, self.version))

    def say(self, data: bytes) -> None:
        """Send every stream these very bytes."""
        with self._lock:
            for stream in tuple(self.streams):
                stream.send(_for_page(data) if stream.asked.is_of_page else data)

    def end_streams(self) -> None:
        with self._lock:
            for stream in tuple(self.streams):
                stream.note_end()
                with suppress(OSError):
                    stream.connection.shutdown(socket.SHUT_RDWR)

    # -- What was asked ----------------------------------------------------------------------------------------------

    def of(self, path: str) -> list[Asked]:
        return [one for one in tuple(self.asked) if one.path == path]

    def pauses(self, path: str) -> list[float]:
        """Seconds from the end of each request to the next one, never less than its client waited.

        Where the client ended it, nobody here knows when: there it is from one request to the next.
        """
        return [later.at - (one.ended_at or one.at) for one, later in pairwise(self.of(path))]

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """The events that were accepted, each once for each time it was."""
        return [event for one in tuple(self.accepted) if kind in one.path for event in one.json.get("events", ())]

    def acknowledged(self) -> list[dict[str, Any]]:
        return [one.json for one in self.of(ACKNOWLEDGE)]

    # -- Answers -----------------------------------------------------------------------------------------------------

    def streaming(self, call: Call) -> _Streaming:
        return _Streaming(self, call)

    def handle(self, asked: Asked, connection: socket.socket) -> None:
        call = Call(asked, connection, self)
        if asked.method == "OPTIONS":
            call.respond(204)
            return
        with self._lock:
            self.asked.append(asked)
            script = self.scripts[asked.path]
            answer = script.popleft() if script else self.always.get(asked.path)
        if answer is not None:
            answer(call)
        elif asked.path == STREAM and asked.is_of_page:
            self._stream(call)
        elif asked.headers.get("authorization") != f"Bearer {self.key}":
            status(401, "The credential is unknown, expired or revoked.")(call)
        elif asked.path == SNAPSHOT and asked.is_of_page:
            self._answers(call)
        elif asked.path == SNAPSHOT:
            self._snapshot(call)
        elif asked.path == STREAM:
            self._stream(call)
        elif asked.path == ACKNOWLEDGE:
            call.respond(202, asked.body)
        elif asked.path.startswith("/api/events/"):
            accepted = len(asked.json.get("events", ()))
            self.accepted.append(asked)
            call.respond(202, json.dumps({"accepted": accepted, "rejected": []}).encode())
        else:
            status(404, "There is no such route.")(call)

    def _snapshot(self, call: Call) -> None:
        body = self.body()
        etag = f'"{self.version}-{hashlib.sha256(body).hexdigest()[:8]}"'
        headers = {"ETag": etag, **self.snapshot_headers}
        if call.asked.headers.get("if-none-match") == etag:
            call.respond(304, b"", headers)
            return
        if self.secret:
            headers["X-Signature"] = signature(body, self.secret)
        if "gzip" in call.asked.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body)
        call.respond(200, body, headers)

    def _answers(self, call: Call) -> None:
        bulk = Responder(CompiledEnvironment.from_document(self.document())).ofrep_all(call.asked.json)
        headers = {"ETag": bulk.etag}
        if bulk.is_known(call.asked.headers.get("if-none-match", "")):
            call.respond(304, b"", headers)
            return
        named = f',"eventStreams":[{{"type":"sse","endpoint":{{"requestUri":"{_NEWS}?since={bulk.version}"}}}}]'
        call.respond(200, bulk.send(_Nobody(), named.encode(), exposures="none"), headers)

    def _stream(self, call: Call) -> None:
        last = int(call.asked.headers.get("last-event-id") or call.asked.since or "-1")
        with self._lock:
            # Under the lock, so that no change comes between what was missed and what follows.
            missed = b"".join(text for version, text in self._steps if version > last)
            if call.asked.is_of_page:
                missed = _PAGES_RETRY + (_ASK_AGAIN if missed else b"")
            call.send(head(200, {**STREAM_HEAD, **self.stream_headers}) + missed)
            streaming = self.streaming(call)
            streaming.__enter__()
        try:
            call.wait_until_left()
        finally:
            streaming.__exit__()


def _for_page(data: bytes) -> bytes:
    """What a page's stream says in place of these events, or of a comment."""
    return _ASK_AGAIN if b"data: " in data else _AUDIBLE


class _Nobody:
    """Counts and records nothing."""

    def count(self, *_: object) -> None: ...

    def expose(self, *_: object) -> None: ...


class _Streaming:
    """Counts a stream for as long as it is open."""

    def __init__(self, server: Endpoints, call: Call) -> None:
        self._server, self._call = server, call

    def __enter__(self) -> None:
        with self._server._lock:
            self._server.streams.append(self._call)
            # The thread of one that its client has closed may not have had its turn yet.
            still_open = sum(not _is_left(call.connection) for call in self._server.streams)
            self._server.most_streams = max(self._server.most_streams, still_open)

    def __exit__(self, *_: object) -> None:
        with self._server._lock:
            self._server.streams.remove(self._call)


def _is_left(connection: socket.socket) -> bool:
    """Whether the other side has hung up; nobody sends anything on a stream but us."""
    try:
        return bool(select.select([connection], [], [], 0)[0])
    except (OSError, ValueError):
        return True


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], owner: Endpoints) -> None:
        self.owner = owner
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that hangs up is no error of the harness."""


class _Handler(socketserver.BaseRequestHandler):
    server: Any

    def handle(self) -> None:
        owner: Endpoints = self.server.owner
        plain: socket.socket = self.request
        with owner._lock:
            owner.open_connections += 1
            owner._connections.add(plain)
        connection = plain
        try:
            if owner._tls is not None:
                connection = owner._tls.wrap_socket(plain, server_side=True, suppress_ragged_eofs=True)
            asked = _read(connection)
            if asked is not None:
                owner.handle(asked, connection)
        except OSError:
            pass
        finally:
            with suppress(OSError):
                connection.close()
            with owner._lock:
                owner.open_connections -= 1
                owner._connections.discard(plain)


def _read(connection: socket.socket) -> Asked | None:
    """The whole request; None where the other side hangs up before."""
    connection.settimeout(_PATIENCE_SECONDS)
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65_536)
        if not piece:
            return None
        data += piece
    at = time.monotonic()
    first, _, rest = data.partition(b"\r\n\r\n")
    lines = first.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ", 2)
    path, _, query = target.partition("?")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    size = int(headers.get("content-length", "0"))
    while len(rest) < size:
        piece = connection.recv(65_536)
        if not piece:
            return None
        rest += piece
    if path in _OF_PAGES:
        since = query.partition("since=")[2]
        return Asked(method, _OF_PAGES[path], headers, rest, at, is_of_page=True, since=since)
    return Asked(method, target, headers, rest, at)
