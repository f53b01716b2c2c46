"""HTTP/1.1 as uvicorn speaks it, but that what needs no waiting is answered while its bytes are being read.

An ASGI server makes a task, an event and a turn of its loop for each request, because an application may wait. An
evaluation does not. Where a request for one arrives whole and nothing goes before it, the application's coroutine is
run to its end at once; whatever else comes is uvicorn's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, MutableMapping
from http import HTTPStatus
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from openflagship.serving.at_once import WaitsError, run_at_once
from openflagship.serving.timed_protocol import TimedProtocol
from openflagship.wire.asgi import Scope

log = logging.getLogger("openflagship.http")

_METHODS: Final = frozenset({b"GET", b"POST"})
_FAILED: Final = STATUS_LINE[HTTPStatus.INTERNAL_SERVER_ERROR] + b"content-length: 0\r\nconnection: close\r\n\r\n"
_CLOSE: Final = (b"connection", b"close")
_Message: TypeAlias = MutableMapping[str, Any]


class AtOnceProtocol(TimedProtocol):
    """`target_of` says which requests are run at once. One that waits all the same is begun anew as a task.

    So whatever such a request does before it waits for the first time must be harmless twice.
    """

    # The request that is being read, where it may be answered at once, and what has come of its body.
    _scope: Scope | None = None
    _content = b""

    def target_of(self, path: str) -> Any:  # noqa: ARG002 - for those who say more
        """What answers the path at once, for the scope's member `target`; None where it is not answered so."""
        return None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self.flow = _Flow(transport, self)

    def on_message_begin(self) -> None:
        self._await_head()
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        self.has_head()
        self._scope = self._scope_at_once()
        if self._scope is None:
            self._begin()

    def _scope_at_once(self) -> Scope | None:
        """None for a request that is for uvicorn."""
        parser, path = self.parser, self.url
        method = parser.get_method()
        if (
            self.is_answering
            or self.flow.write_paused
            or self.expect_100_continue
            or self.limit_concurrency is not None
            or method not in _METHODS
            or parser.should_upgrade()
            or not parser.should_keep_alive()
            or parser.get_http_version() != "1.1"
            or not path.isascii()
            or path[:1] != b"/"
            or path[:2] == b"//"
            or b"#" in path
        ):
            return None
        raw_path, _, query = path.partition(b"?")
        text = raw_path.decode("ascii")
        if "%" in text:
            text = unquote(text)
        target = self.target_of(text)
        if target is None:
            return None
        return {
            "type": "http",
            "method": method.decode("ascii"),
            "path": text,
            "query_string": query,
            "headers": self.headers,
            "client": self.client,
            "target": target,
        }

    @property
    def is_answering(self) -> bool:
        """Whether an application's task answers a request."""
        return self.cycle is not None and not self.cycle.response_complete

    def _begin(self) -> None:
        """Let uvicorn begin the request whose head was read."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        # The request's scope has this list.
        self.headers.extend(headers)
        super().on_headers_complete()
        if self._content:
            content, self._content = self._content, b""
            super().on_body(content)

    def on_body(self, body: bytes) -> None:
        if self._scope is None:
            super().on_body(body)
        else:
            self._content += body

    def on_message_complete(self) -> None:
        if self._scope is None:
            super().on_message_complete()
            return
        scope, self._scope = self._scope, None
        try:
            self._answer(scope)
        except WaitsError:
            self._begin()
            super().on_message_complete()
        self._content = b""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._scope is not None:
            # The rest is still on its way.
            self._scope = None
            if not self.transport.is_closing():
                self._begin()

    def _answer(self, scope: Scope) -> None:
        """Raises WaitsError before anything was sent."""
        exchange = _Exchange(self._content, self._write)
        answering: Any = self.app(scope, exchange.receive, exchange.send)
        try:
            run_at_once(answering)
        except WaitsError:
            raise
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            self.transport.write(_FAILED)
            self.transport.close()
        else:
            self.on_response_complete()

    def _write(self, status: int, headers: list[tuple[bytes, bytes]], content: bytes) -> None:
        """Raises ValueError for a header that would begin another one."""
        lines = [b"%b: %b\r\n" % header for header in (*self.server_state.default_headers, *headers)]
        head = b"".join(lines)
        if not head.count(b"\n") == head.count(b"\r") == len(lines):
            raise ValueError("a header holds the end of a line")
        self.transport.write(b"%b%b\r\n%b" % (STATUS_LINE[status], head, content))
        if status >= HTTPStatus.BAD_REQUEST and _CLOSE in headers:
            self.transport.close()


class _Flow(FlowControl):
    """Reads no further request of a caller who does not take his answers, nor while some wait that were read.

    While one is being answered it is read on: so the end of a stream's caller is seen.
    """

    def __init__(self, transport: asyncio.Transport, protocol: AtOnceProtocol) -> None:
        super().__init__(transport)
        self._protocol = protocol

    def resume_reading(self) -> None:
        if not self._protocol.pipeline and (self._protocol.is_answering or not self.write_paused):
            super().resume_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        if not self._protocol.is_answering:
            self.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.resume_reading()


class _Exchange:
    """A request that is there whole, and its answer, which is sent whole."""

    __slots__ = ("_content", "_start", "_write")

    def __init__(self, content: bytes, write: Callable[[int, list[tuple[bytes, bytes]], bytes], None]) -> None:
        self._content: bytes | None = content
        self._write = write
        self._start: _Message = {}

    async def receive(self) -> _Message:
        if self._content is None:
            # There is nothing more, until the caller is gone.
            await asyncio.sleep(0)
        content, self._content = self._content, None
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(self, message: _Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        else:
            self._write(self._start["status"], self._start["headers"], message["body"])
