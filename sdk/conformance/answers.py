"""What a mocked server was asked, and the answers that a case may put in place of the usual one."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from sdk.conformance.endpoints import Endpoints

_PATIENCE_SECONDS = 60.0


@dataclass(slots=True, eq=False)
class Asked:
    """One request, on a connection of its own.

    `at` and `ended_at` are of the monotonic clock: when it was read, and when we began to end it, if it was us.
    A page's request for answers, or for a stream after the version `since`, has the path of what a server asks for.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    ended_at: float | None = None
    is_of_page: bool = False
    since: str = ""

    @property
    def json(self) -> Any:
        return json.loads(gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body)


@dataclass(slots=True, eq=False)
class Call:
    """A request and the connection that waits for its answer."""

    asked: Asked
    connection: socket.socket
    server: Endpoints

    def note_end(self) -> None:
        """Note the time, before the other side can see the end."""
        if self.asked.ended_at is None:
            self.asked.ended_at = time.monotonic()

    def send(self, data: bytes) -> bool:
        """Send these bytes; false where nobody listens any more."""
        try:
            self.connection.sendall(data)
        except OSError:
            return False
        return True

    def respond(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        given = {"Content-Type": "application/json", **(headers or {})}
        if status != 304:
            given.setdefault("Content-Length", str(len(body)))
        self.note_end()
        self.send(head(status, given) + (b"" if status == 304 else body))

    def wait_until_left(self, seconds: float = _PATIENCE_SECONDS) -> bool:
        """Wait until the other side hangs up."""
        self.connection.settimeout(seconds)
        try:
            while self.connection.recv(4096):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True


Answer: TypeAlias = Callable[[Call], None]

# Pages of any origin may read everything here.
_FOR_PAGES = (
    "Access-Control-Allow-Origin: *\r\n"
    "Access-Control-Allow-Headers: authorization, content-type, if-none-match\r\n"
    "Access-Control-Expose-Headers: etag, retry-after\r\n"
    "Access-Control-Max-Age: 600\r\n"
)


def head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Status\r\nConnection: close\r\n{_FOR_PAGES}{lines}\r\n".encode()


STREAM_HEAD = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}


def status(code: int, detail: str = "", **headers: str) -> Answer:
    """A refusal as the server words it. Headers by name, with `_` for `-`."""
    body = json.dumps({"type": "error", "errors": [{"code": "refused", "detail": detail}]}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda call: call.respond(code, body, named)


def whole(body: bytes, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda call: call.respond(200, body, named)


def silent(call: Call) -> None:
    """Answer nothing for as long as the other side waits."""
    call.wait_until_left()


def reset(call: Call) -> None:
    """End the connection as a crash does."""
    call.note_end()
    call.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def cut(call: Call) -> None:
    """Begin a body, and hang up in the middle."""
    call.note_end()
    call.send(head(200, {"Content-Type": "application/json", "Content-Length": "1000"}) + b'{"contract": 1, ')


def drip(content_type: str = "application/json") -> Answer:
    """A head, and then a byte now and then for as long as the other side listens."""

    def answer(call: Call) -> None:
        call.send(head(200, {"Content-Type": content_type}))
        while call.send(b"x") and not call.wait_until_left(0.05):
            pass

    return answer


def brief_stream(content: bytes = b"", *, is_reset: bool = False) -> Answer:
    """A stream that ends after these bytes."""

    def answer(call: Call) -> None:
        with call.server.streaming(call):
            call.send(head(200, STREAM_HEAD) + content)
            if is_reset:
                time.sleep(0.02)
                reset(call)
            call.note_end()

    return answer
