"""HTTP/1.1 as logic: h11 speaks it, the driver moves the bytes. One connection for each request, or for one stream."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from typing import Any

import h11

from openflagship.client.effects import Close, Connect, Endpoint, Logic, Read, Write

MOST_BODY_BYTES = 256 * 1024 * 1024
_MOST_HEAD_BYTES = 64 * 1024


class HttpError(OSError):
    """The other side does not speak HTTP, or says more than we would keep."""


class Response:
    """Status, headers by their lower-case names, and the body (of a stream: empty)."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        self.headers = headers
        self.body = b""


class Exchange:
    """One request and its answer, read piece by piece. Close it, whatever happens."""

    def __init__(self, endpoint: Endpoint, timeout_seconds: float) -> None:
        self._endpoint = endpoint
        self._timeout_seconds = timeout_seconds
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST_HEAD_BYTES)
        self._handle: Any = None

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Logic[Response]:
        """Send the request and read the answer's head. Raises OSError."""
        target = self._endpoint.prefix + path
        head = [("Host", self._endpoint.authority), ("Connection", "close"), *headers.items()]
        if body or method != "GET":
            head.append(("Content-Length", str(len(body))))
        try:
            sent = self._protocol.send(h11.Request(method=method, target=target, headers=head)) or b""
            if body:
                sent += self._protocol.send(h11.Data(data=body)) or b""
            sent += self._protocol.send(h11.EndOfMessage()) or b""
        except h11.LocalProtocolError as error:
            raise HttpError(f"the request cannot be sent: {error}") from error
        self._handle = yield Connect(self._endpoint, self._timeout_seconds)
        yield Write(self._handle, sent, self._timeout_seconds)
        while True:
            event = yield from self._next_event(self._timeout_seconds)
            if isinstance(event, h11.Response):
                return Response(
                    event.status_code,
                    {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers},
                )
            if not isinstance(event, h11.InformationalResponse):
                raise HttpError("the connection ended before an answer came")

    def read(self, timeout_seconds: float) -> Logic[bytes]:
        """The next piece of the body, empty at its end. Raises OSError."""
        while True:
            event = yield from self._next_event(timeout_seconds)
            if not isinstance(event, h11.Data):
                return b""
            if event.data:
                return bytes(event.data)

    def close(self) -> Logic[None]:
        if self._handle is not None:
            yield Close(self._handle)
            self._handle = None

    def _next_event(self, timeout_seconds: float) -> Logic[Any]:
        while True:
            try:
                event = self._protocol.next_event()
                if event is not h11.NEED_DATA:
                    return event
                self._protocol.receive_data((yield Read(self._handle, timeout_seconds)))
            except h11.ProtocolError as error:
                raise HttpError(f"the answer is no HTTP: {error}") from error


def request(
    endpoint: Endpoint,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes = b"",
    *,
    timeout_seconds: float,
) -> Logic[Response]:
    """One request and its whole answer, unpacked. Raises OSError."""
    exchange = Exchange(endpoint, timeout_seconds)
    try:
        response = yield from exchange.send(method, path, headers, body)
        pieces, size = [], 0
        while piece := (yield from exchange.read(timeout_seconds)):
            pieces.append(piece)
            size += len(piece)
            if size > MOST_BODY_BYTES:
                raise HttpError(f"the answer is larger than {MOST_BODY_BYTES} bytes")
    except OSError:
        yield from exchange.close()
        raise
    yield from exchange.close()
    response.body = b"".join(pieces)
    if response.headers.get("content-encoding") == "gzip":
        try:
            response.body = gzip.decompress(response.body)
        except (EOFError, zlib.error) as error:
            raise HttpError("the answer is no valid gzip") from error
    return response
