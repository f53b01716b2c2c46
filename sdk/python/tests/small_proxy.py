"""A small HTTP proxy on a real socket: it forwards what is plain and tunnels what is not, by names of its own."""

from __future__ import annotations

import base64
import select
import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


class SmallProxy:
    """`seen` has each request's method and target. `names` maps host names, which nobody else knows, to addresses.

    With `user` ("name:password") it answers 407 to everybody else.
    """

    def __init__(self, names: dict[str, str] | None = None, user: str | None = None) -> None:
        self.seen: list[tuple[str, str]] = []
        self.names = names or {}
        self.wanted = None if user is None else "Basic " + base64.b64encode(user.encode()).decode()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that hangs up is none."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def paths(self) -> set[str]:
        """What was forwarded, without the server's name."""
        return {urlsplit(target).path for method, target in self.seen if method != "CONNECT"}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: SmallProxy

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def _pass(self) -> None:
        owner = self.owner
        owner.seen.append((self.command, self.path))
        if owner.wanted is not None and self.headers.get("Proxy-Authorization") != owner.wanted:
            self.send_error(407)
            return
        is_tunnel = self.command == "CONNECT"
        parts = urlsplit(f"//{self.path}" if is_tunnel else self.path)
        host = parts.hostname or ""
        with socket.create_connection((owner.names.get(host, host), parts.port or 80), 60) as onward:
            if is_tunnel:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                del self.headers["Proxy-Authorization"]
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                head = f"{self.command} {parts.path} HTTP/1.1\r\n{self.headers.as_string()}"
                onward.sendall(head.replace("\r\n", "\n").replace("\n", "\r\n").encode() + body)
            self._carry(onward)
        self.close_connection = True

    def _carry(self, onward: socket.socket) -> None:
        with suppress(OSError):
            while True:
                for ready in select.select([onward, self.connection], [], [])[0]:
                    data = ready.recv(65_536)
                    if not data:
                        return
                    (self.connection if ready is onward else onward).sendall(data)

    def do_GET(self) -> None:
        self._pass()

    def do_POST(self) -> None:
        self._pass()

    def do_CONNECT(self) -> None:
        self._pass()
