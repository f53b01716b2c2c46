"""What granian serves as `web`, over RSGI: bodies arrive on the event loop, evaluations are answered there, pages wait.

The loop answers what asks no database: the fast lane and the data plane. All else runs in threads of its own, so
neither a slow client nor a slow page holds up an evaluation (docs/adr/0002).
"""

import asyncio
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from typing import Any

import orjson
import structlog
from django.conf import settings
from django.core.signals import setting_changed
from granian.rsgi import ProtocolClosed
from openflagship.serving import interpreter
from openflagship.wire.errors import RefusedError
from openflagship.wire.request_ids import HEADER, request_id_of
from openflagship.wire.routes import API_PREFIXES, CONVERSIONS, EXPOSURES, METRICS, USAGE

from flagship.serving.bodies import ARRIVALS
from flagship.serving.data_plane import DataPlane
from flagship.serving.fast_lane import FastLane

log = structlog.get_logger(__name__)

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
Application = Callable[[Environ, Any], Iterable[bytes]]

# So many requests may wait for a thread.
MOST_WAITING = 1_000
# A reader of a long export that takes nothing for so long is given up. granian 2.8 takes each piece at once and keeps
# it (its issue 885), so there a slow reader costs memory, and neither waits here nor is cut off.
READER_SECONDS = 30.0
_PIECES_WAITING = 4
_MANY_HEADERS = 1_000
_OF_ALL: Environ = {
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}
_PLAIN = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}
_CONSOLE_IMPORT = "/admin/flags/flagconfig/import/"
_EVENT_PATHS = frozenset(path for route in (EXPOSURES, CONVERSIONS, METRICS, USAGE) for path in route.paths)


class FrontDoor:
    """RSGI around the lane, the data plane and Django."""

    def __init__(self, lane: FastLane, data_plane: DataPlane, *, threads: int) -> None:
        self._lane, self._data_plane = lane, data_plane
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="page")
        self._waiting = 0
        self._names: dict[str, str | None] = dict(_PLAIN)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        interpreter.switch_often()
        interpreter.settle()
        ARRIVALS.start(loop)

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        environ = self.environ_of(scope)
        try:
            content = b""
            if "CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ:
                content = await self._body(environ, proto)
            answered = self._lane.answer(environ, content)
            if answered is not None:
                proto.response_bytes(200, answered[1], answered[0])
                return
            environ["wsgi.input"] = BytesIO(content)
            environ["CONTENT_LENGTH"] = str(len(content))
            application = self._data_plane.plain_handler(environ)
            if application is not None:
                status, headers, chunks = _run(application, environ)
                proto.response_bytes(status, headers, b"".join(chunks))
            else:
                await self._in_thread(environ, proto)
        except RefusedError as error:
            request_id = request_id_of(environ.get("HTTP_X_REQUEST_ID", ""))
            headers = [("Content-Type", "application/json"), (HEADER, request_id), *error.headers]
            refused = {"method": environ["REQUEST_METHOD"], "path": environ["PATH_INFO"], "status": error.status}
            log.info("request", **refused, request_id=request_id)
            # The peer may have hung up within its body, and then nobody is left to answer.
            with suppress(ProtocolClosed):
                proto.response_bytes(error.status, headers, orjson.dumps(error.body(request_id)))

    async def _body(self, environ: Environ, proto: Any) -> bytes:
        announced = environ.get("CONTENT_LENGTH")
        # The server has refused a length that is no number.
        length = int(announced) if announced is not None else None
        try:
            content = await ARRIVALS.read(proto, length, most_bytes(environ["PATH_INFO"]))
        except (RefusedError, asyncio.CancelledError):
            raise
        except Exception as error:
            # The server's own errors for a peer that hung up or does not speak HTTP.
            raise RefusedError(400, "The body broke off. Send it again.", code="parse_error") from error
        if "HTTP_TRANSFER_ENCODING" in environ:
            # One in chunks has no length of its own, and is no longer in chunks.
            del environ["HTTP_TRANSFER_ENCODING"]
            environ["CONTENT_LENGTH"] = str(len(content))
        return content

    async def _in_thread(self, environ: Environ, proto: Any) -> None:
        if self._waiting >= MOST_WAITING:
            raise RefusedError(503, "Too many requests wait at the moment. Try again shortly.", retry_after_seconds=2)
        loop = asyncio.get_running_loop()
        stream = _Stream(loop)
        self._waiting += 1
        try:
            working = loop.run_in_executor(self._pool, self._answer, environ, stream)
            either: set[asyncio.Future[Any]] = {working, stream.head}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if stream.head.done():
                await stream.send(proto)
            answer = await working
            if answer is not None:
                proto.response_bytes(*answer)
        finally:
            self._waiting -= 1
            stream.head.cancel()

    def _answer(self, environ: Environ, stream: "_Stream") -> tuple[int, Headers, bytes] | None:
        """In a thread: run Django and return what it says. What comes piece by piece goes to `stream`."""
        status, headers, chunks = _run(self._data_plane, environ)
        try:
            has_length = any(name.lower() == "content-length" for name, _ in headers)
            if has_length or not getattr(chunks, "streaming", True):
                return status, headers, b"".join(chunks)
            stream.begin(status, headers)
            for chunk in chunks:
                if chunk and not stream.put(chunk):
                    log.warning("reader_given_up", path=environ["PATH_INFO"])
                    break
            return None
        finally:
            stream.end()
            close = getattr(chunks, "close", None)
            if close is not None:
                close()

    def environ_of(self, scope: Any) -> Environ:
        """The request as WSGI knows it, without its body.

        A header whose name has an underscore is left out: WSGI would take it for the one with a hyphen.
        """
        path = scope.path
        environ = _OF_ALL.copy()
        environ["REQUEST_METHOD"] = scope.method
        environ["PATH_INFO"] = path if path.isascii() else path.encode("utf-8", "surrogateescape").decode("latin-1")
        environ["QUERY_STRING"] = scope.query_string
        environ["SERVER_PROTOCOL"] = f"HTTP/{scope.http_version}"
        environ["wsgi.url_scheme"] = scope.scheme
        environ["SERVER_NAME"], _, environ["SERVER_PORT"] = scope.server.rpartition(":")
        environ["REMOTE_ADDR"] = scope.client.rpartition(":")[0].strip("[]")
        names = self._names
        for name, value in scope.headers.items():
            key = names.get(name)
            if key is None:
                if "_" in name:
                    continue
                key = f"HTTP_{name.upper().replace('-', '_')}"
                if len(names) < _MANY_HEADERS:
                    names[name] = key
            if key in environ:
                environ[key] = f"{environ[key]}{'; ' if name == 'cookie' else ','}{value}"
            else:
                environ[key] = value
        return environ


class _Most:
    """The largest body of each kind of path. Each of Django's settings costs a function call, so they are read once."""

    def __init__(self) -> None:
        self.read_settings()
        setting_changed.connect(self.read_settings)

    def read_settings(self, **_changed: Any) -> None:
        self.events, self.imported = settings.MAX_EVENTS_BODY_BYTES, settings.MAX_IMPORT_BODY_BYTES
        # The same file, in a form.
        self.imported_in_console = settings.MAX_IMPORT_BODY_BYTES + settings.MAX_BODY_BYTES
        self.any = max(settings.MAX_BODY_BYTES, settings.DATA_UPLOAD_MAX_MEMORY_SIZE)


_MOST = _Most()


def most_bytes(path: str) -> int:
    """The largest body that a path takes."""
    if path in _EVENT_PATHS:
        return _MOST.events
    if path.endswith("/import") and path.startswith(API_PREFIXES):
        return _MOST.imported
    return _MOST.imported_in_console if path == _CONSOLE_IMPORT else _MOST.any


class _Stream:
    """An answer that a thread makes piece by piece and the event loop sends; a few pieces wait in between."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.head: asyncio.Future[tuple[int, Headers]] = loop.create_future()
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._room = threading.Semaphore(_PIECES_WAITING)
        self._is_gone = False

    def begin(self, status: int, headers: Headers) -> None:
        self._loop.call_soon_threadsafe(self._begin, (status, headers))

    def _begin(self, head: tuple[int, Headers]) -> None:
        if not self.head.done():
            self.head.set_result(head)

    def put(self, piece: bytes) -> bool:
        """In the thread: hand a piece over. False once nobody reads any more."""
        if not self._room.acquire(timeout=READER_SECONDS) or self._is_gone:
            return False
        self._loop.call_soon_threadsafe(self._pieces.put_nowait, piece)
        return True

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._pieces.put_nowait, None)

    async def send(self, proto: Any) -> None:
        """On the loop: the answer ends when this returns, because nothing else holds its transport."""
        transport = proto.response_stream(*self.head.result())
        try:
            while (piece := await self._pieces.get()) is not None:
                await transport.send_bytes(piece)
                self._room.release()
        except ProtocolClosed:
            self._is_gone = True
            self._room.release()


def _run(application: Application, environ: Environ) -> tuple[int, Headers, Iterable[bytes]]:
    """Run a WSGI application: status, headers, and the body still to be taken."""
    said: list[Any] = []

    def start_response(status: str, headers: Headers, _error: Any = None) -> None:
        said[:] = [status, headers]

    chunks = application(environ, start_response)
    return int(said[0][:3]), said[1], chunks
