"""A small platform on a real socket: snapshot, stream, acknowledgements and events, with ways to misbehave."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "fs_server_test"


def eventually(check: Callable[[], Any], *, seconds: float = 60) -> Any:
    """Wait until `check` gives something true, and return that."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, f"it did not happen in time; last seen: {found!r}"
        time.sleep(0.005)
    return found


def held_port(port: int = 0) -> socket.socket:
    """A port of this machine that nobody is given, bound and not listening: a server may take it, and take it again."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", port))
    return holder


_held: list[socket.socket] = []


def free_port() -> int:
    """A port for a server of the test's own, which stays out of everybody else's hands until the tests are over."""
    _held.append(held_port())
    return int(_held[-1].getsockname()[1])


class SmallPlatform:
    """What it was told and asked is in lists; `fail` maps a path to the status it answers instead.

    `gates` maps a path to an event that its answers wait for. `previous_secret` signs beside `secret`. `others` are
    further keys that it takes, each with the secret that signs for it.
    """

    def __init__(
        self, *flags: dict[str, Any], port: int = 0, secret: str = "", tls: ssl.SSLContext | None = None
    ) -> None:
        self.version = 1
        self.flags = {flag["key"]: flag for flag in flags}
        self.segments: dict[str, Any] = {}
        self.secret = secret
        self.previous_secret = ""
        self.others: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []
        self.summaries: list[dict[str, Any]] = []
        self.acknowledged: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.fail: dict[str, int] = {}
        self.retry_after = "0"
        self.reason = ""
        self.gates: dict[str, threading.Event] = {}
        self.is_streaming = True
        # After so long a silence a stream gets a keep-alive; None for never.
        self.keep_alive_seconds: float | None = None
        self.keep_alive = b": keep-alive age=0\n\n"
        self._steps: list[tuple[int, bytes]] = []
        self._streams: set[queue.SimpleQueue[bytes | None]] = set()
        self.edge_configuration: dict[str, Any] = {}
        self._edge_revision = 0
        self._edge_streams: set[queue.SimpleQueue[bytes | None]] = set()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_up = False
        self._tls = tls
        self._holder = held_port(port)
        self.port = self._holder.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        """Listen; after `stop` at the same port, which nobody else was given meanwhile."""
        platform = self

        class Handler(_Handler):
            owner = platform

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def get_request(self) -> tuple[Any, Any]:
                connection, address = super().get_request()
                # The handshake waits for its peer: it is the handler's thread that reads, and so does it.
                wrap = platform._tls and platform._tls.wrap_socket
                return (
                    wrap(connection, server_side=True, do_handshake_on_connect=False) if wrap else connection,
                    address,
                )

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that hangs up is none."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        self._is_up = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def document(self) -> dict[str, Any]:
        return {
            "contract": 1,
            "environment": {"organization": "acme", "project": "web", "key": "production", "salt": ""},
            "version": self.version,
            "flags": self.flags,
            "segments": self.segments,
        }

    def change(self, flag: dict[str, Any], kind: str = "flag_updated") -> None:
        """Take the flag as the next version and tell every stream."""
        with self._lock:
            self.version += 1
            self.flags = {**self.flags, flag["key"]: flag}
            self._tell(self.version, kind, flag)

    def archive(self, key: str) -> None:
        with self._lock:
            self.version += 1
            self.flags = {other: flag for other, flag in self.flags.items() if other != key}
            self._tell(self.version, "flag_archived", {"key": key, "deleted": True})

    def _tell(self, version: int, kind: str, data: Any) -> None:
        text = f"id: {version}\nevent: {kind}\ndata: {json.dumps(data)}\n\n".encode()
        self._steps.append((version, text))
        for stream in self._streams:
            stream.put(text)

    def say(self, text: bytes) -> None:
        """Send every stream these very bytes."""
        with self._lock:
            for stream in self._streams:
                stream.put(text)

    @property
    def stream_count(self) -> int:
        return len(self._streams)

    def tell_edges(self, environments: list[dict[str, Any]], edges: list[dict[str, Any]]) -> None:
        """Serve edges: tell all that follow what they serve, and who may call them."""
        with self._lock:
            self._edge_revision += 1
            self.edge_configuration = {
                "organization": "acme", "revision": self._edge_revision, "environments": environments, "edges": edges,
            }  # fmt: skip
            for stream in self._edge_streams:
                stream.put(self._edge_event())

    def _edge_event(self) -> bytes:
        data = json.dumps(self.edge_configuration)
        return f"id: {self._edge_revision}\nevent: edge_configuration\ndata: {data}\n\n".encode()

    def end_streams(self) -> None:
        with self._lock:
            for stream in (*self._streams, *self._edge_streams):
                stream.put(None)

    def exposures(self) -> list[dict[str, Any]]:
        return [event for event in self.events if "flagKey" in event]

    def conversions(self) -> list[dict[str, Any]]:
        return [event for event in self.events if "eventName" in event]

    def stop(self) -> None:
        """Go away as a killed process does: every connection is cut, and none is begun any more."""
        if not self._is_up:
            return
        with self._lock:
            self._is_up = False
        self._server.shutdown()
        self._server.server_close()
        self.end_streams()
        with self._lock:
            connections = tuple(self._connections)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(60)

    def close(self) -> None:
        """Go away for good."""
        self.stop()
        self._holder.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: SmallPlatform

    def setup(self) -> None:
        super().setup()
        owner = self.owner
        with owner._lock:
            if not owner._is_up:
                raise ConnectionAbortedError
            owner._connections.add(self.connection)

    def finish(self) -> None:
        with self.owner._lock:
            self.owner._connections.discard(self.connection)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def _answer(self, status: int, body: Any = None, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 304:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if status != 304:
            self.wfile.write(content)

    @property
    def _key(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _is_refused(self) -> bool:
        owner = self.owner
        owner.asked.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
        if self.path in owner.gates:
            owner.gates[self.path].wait(60)
        if self.path in owner.fail:
            self._answer(
                owner.fail[self.path], {"type": "server_error", "errors": []}, Retry_After=self.owner.retry_after
            )
            return True
        if self._key not in {KEY, *owner.others}:
            self._answer(401, {"type": "client_error", "errors": [{"detail": self.owner.reason}]})
            return True
        return False

    def do_GET(self) -> None:
        if self._is_refused():
            return
        if self.path == "/api/snapshot":
            self._snapshot()
        elif self.path == "/api/stream" and self.owner.is_streaming:
            self._stream()
        elif self.path == "/api/edge/configuration":
            self._answer(200, self.owner.edge_configuration)
        elif self.path == "/api/edge/stream":
            self._edge_stream()
        else:
            self._answer(404, {})

    def _snapshot(self) -> None:
        body = json.dumps(self.owner.document()).encode()
        etag = f'"{self.owner.version}-{hashlib.sha256(body).hexdigest()[:8]}"'
        if self.headers.get("If-None-Match") == etag:
            self._answer(304, ETag=etag)
            return
        headers = {"ETag": etag}
        own = self.owner.others.get(self._key, self.owner.secret)
        for name, secret in (("X_Signature", own), ("X_Signature_Previous", self.owner.previous_secret)):
            if secret:
                headers[name] = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body)
            headers["Content_Encoding"] = "gzip"
        self._answer(200, body, **headers)

    def _stream(self) -> None:
        mine: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        last = int(self.headers.get("Last-Event-ID", "-1"))
        with self.owner._lock:
            for version, text in self.owner._steps:
                if version > last:
                    mine.put(text)
            if not self.owner._is_up:
                mine.put(None)
            self.owner._streams.add(mine)
        self._send_stream(mine, self.owner._streams)

    def _edge_stream(self) -> None:
        mine: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        with self.owner._lock:
            mine.put(self.owner._edge_event() if self.owner._is_up else None)
            self.owner._edge_streams.add(mine)
        self._send_stream(mine, self.owner._edge_streams)

    def _send_stream(
        self, mine: queue.SimpleQueue[bytes | None], streams: set[queue.SimpleQueue[bytes | None]]
    ) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"retry: 50\n\n")
        try:
            while (text := self._next(mine)) is not None:
                self.wfile.write(text)
        finally:
            with self.owner._lock:
                streams.discard(mine)
            self.close_connection = True

    def _next(self, mine: queue.SimpleQueue[bytes | None]) -> bytes | None:
        try:
            return mine.get(timeout=self.owner.keep_alive_seconds)
        except queue.Empty:
            return self.owner.keep_alive

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self._is_refused():
            return
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        sent = json.loads(body)
        if self.path == "/api/stream/ack":
            self.owner.acknowledged.append(sent)
            self._answer(202, sent)
        elif self.path == "/api/events/usage":
            self.owner.summaries.append(sent)
            self._answer(202, {"accepted": 1, "rejected": []})
        elif self.path.startswith("/api/events/"):
            self.owner.events.extend(sent["events"])
            self._answer(202, {"accepted": len(sent["events"]), "rejected": []})
        else:
            self._answer(404, {})
