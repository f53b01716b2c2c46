"""ASGI without a framework: requests, whole responses and streams, for the stream process and the edge."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs

from openflagship.wire.bodies import MAX_BODY_BYTES, check_media_type, encoding_problem, read_json, write_json
from openflagship.wire.errors import PARSE_ERROR, RefusedError
from openflagship.wire.reading import read_body, whole_body
from openflagship.wire.request_ids import request_id_of
from openflagship.wire.routes import OPTIONS_BODY, Route

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]

JSON: Final = b"application/json"
NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")


class AsgiRequest:
    """The head of a request, its body on demand, and its id."""

    __slots__ = ("_receive", "headers", "method", "path", "query", "request_id", "scope")

    def __init__(self, scope: Scope, receive: Receive | None = None) -> None:
        """A request without `receive`, such as a WebSocket's, has no body."""
        self.scope = scope
        self.path: str = scope["path"]
        self.method: str = scope.get("method", "GET")
        self.query: bytes = scope.get("query_string", b"")
        self.headers: Mapping[bytes, bytes] = dict(scope["headers"])
        self._receive: Receive = receive or _nothing
        # Empty until somebody needs it: an evaluation's own id will do for most.
        self.request_id = ""

    @property
    def is_whole(self) -> bool:
        """Whether its body has come; then reading it waits for nothing."""
        return "target" in self.scope

    def header(self, name: bytes) -> str:
        """A header's value by its lower-case name; empty where it was not sent."""
        return self.headers.get(name, b"").decode("latin-1")

    def parameter(self, name: str) -> str | None:
        """A query parameter's value; None where it is not given."""
        if not self.query:
            return None
        return parse_qs(self.query.decode("latin-1"), keep_blank_values=True).get(name, [None])[0]

    def identify(self, otherwise: str | None = None) -> str:
        """The request's id: the caller's, or `otherwise`, or a new one."""
        if not self.request_id:
            sent = self.headers.get(b"x-request-id")
            if sent is None and otherwise:
                self.request_id = otherwise
            else:
                self.request_id = request_id_of((sent or b"").decode("latin-1"), otherwise)
        return self.request_id

    async def body(self, most_bytes: int) -> bytes:
        """The whole body. Raises RefusedError for a larger one, GoneError where the caller hangs up."""
        if self.is_whole:
            return whole_body(await self._receive(), most_bytes)
        return await read_body(self._receive, most_bytes)

    async def json(self, most_bytes: int = MAX_BODY_BYTES) -> tuple[Any, int]:
        """The parsed body, and its size in bytes. Raises RefusedError for a body that cannot be read."""
        headers = self.headers
        is_plain = headers.get(b"content-type") == JSON and b"content-encoding" not in headers
        if not is_plain and headers.get(b"content-length") not in {None, b"0"}:
            check_media_type(self.header(b"content-type"))
            problem = encoding_problem(self.header(b"content-encoding"))
            if problem:
                raise RefusedError(400, problem, code=PARSE_ERROR)
        # As `body` has it, without its coroutine: each one costs an evaluation about a half of a microsecond.
        if self.is_whole:
            content = whole_body(await self._receive(), most_bytes)
        else:
            content = await read_body(self._receive, most_bytes)
        return read_json(content), len(content)

    async def wait_until_gone(self) -> None:
        """Return when the caller has hung up."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def _nothing() -> MutableMapping[str, Any]:
    return {"type": "http.request", "body": b""}


def encoded(headers: Iterable[tuple[str, str]]) -> Headers:
    """Header pairs as ASGI wants them."""
    return tuple((name.lower().encode(), value.encode("latin-1")) for name, value in headers)


async def respond(
    send: Send, status: int, body: Any, *, content_type: bytes = JSON, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Send a whole response: bytes as they are, anything else as JSON."""
    content = body if isinstance(body, bytes) else write_json(body)
    start = [(b"content-type", content_type), (b"content-length", b"%d" % len(content)), NO_SNIFFING, *headers]
    await send_whole(send, status, start, content)


async def send_whole(send: Send, status: int, headers: list[tuple[bytes, bytes]], content: bytes) -> None:
    """Send a whole response with all its headers."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def refusal(error: RefusedError, request_id: str) -> tuple[int, dict[str, Any], Headers]:
    """Status, body and headers of a refusal."""
    return error.status, error.body(request_id), encoded(error.headers)


async def start_stream(send: Send, headers: Iterable[tuple[bytes, bytes]], first: bytes) -> None:
    """Send a stream's head and its first bytes."""
    await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
    await send_part(send, first)


async def send_part(send: Send, content: bytes, *, is_last: bool = False) -> None:
    await send({"type": "http.response.body", "body": content, "more_body": not is_last})


def takes_method(route: Route, method: str) -> bool:
    """Whether the route answers the method; HEAD is a GET without its body."""
    return method == route.method or (method, route.method) == ("HEAD", "GET")


async def answer_options(send: Send, route: Route, request: AsgiRequest) -> None:
    """Answer OPTIONS: which methods the route has."""
    headers = ((b"allow", route.allow.encode()), (b"x-request-id", request.identify().encode()))
    await respond(send, 200, OPTIONS_BODY, headers=headers)


@asynccontextmanager
async def watching(request: AsgiRequest, hang_up: Callable[[], None]) -> Any:
    """Call `hang_up` once the caller is gone, for as long as the block runs."""

    async def watch() -> None:
        await request.wait_until_gone()
        hang_up()

    watcher = asyncio.ensure_future(watch())
    try:
        yield
    finally:
        watcher.cancel()
