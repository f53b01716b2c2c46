"""HTTP/1.1 as logic: h11 speaks the protocol, the driver moves the bytes. Each request has its own connection.

Every step has a deadline: a peer that drips a byte now and then is found out like a silent one.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import h11

from openflagship.client.transport.effects import Close, Connect, Endpoint, Logic, Read, Secure, Write, aside
from openflagship.client.transport.proxies import Proxy

MOST_BODY_BYTES = 256 * 1024 * 1024
_MOST_HEAD_BYTES = 64 * 1024
_MOST_REASON_BYTES = 64 * 1024
_MOST_REASON_CHARACTERS = 500
# More than this takes long enough to be unpacked and read aside.
LONG_BYTES = 64 * 1024


class HttpError(OSError):
    """The other side does not speak HTTP, or sends more than the limits allow."""


class Response:
    """Status, headers by lower-case name, and the body, which is empty for a stream."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        self.headers = headers
        self.body = b""

    @property
    def reason(self) -> str:
        """The server's own words about a refusal; empty where it says nothing that can be read."""
        try:
            said = json.loads(self.body)
        except (ValueError, RecursionError):
            return ""
        problems = said.get("errors") if isinstance(said, dict) else None
        details = [one.get("detail") for one in problems if isinstance(one, dict)] if isinstance(problems, list) else []
        text = "; ".join(detail for detail in details if isinstance(detail, str) and detail)
        if not text and isinstance(said, dict) and isinstance(said.get("detail"), str):
            text = said["detail"]
        return "".join(character if character.isprintable() else " " for character in text[:_MOST_REASON_CHARACTERS])


class Exchange:
    """One request and its answer, read piece by piece. The caller must close it in any case."""

    def __init__(self, endpoint: Endpoint, timeout_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`timeout_seconds`: for the connection, and once more for the request and the head of its answer."""
        self._endpoint = endpoint
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST_HEAD_BYTES)
        self._handle: Any = None

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Logic[Response]:
        """Send the request and read the head of the answer. Raises OSError."""
        endpoint, proxy = self._endpoint, self._endpoint.proxy
        target = endpoint.prefix + path
        head = [("Host", endpoint.authority), ("Connection", "close"), *headers.items()]
        if proxy is not None and not endpoint.is_tls:
            # It reads the request itself, and sends it on; what is TLS goes through a tunnel.
            target = f"http://{endpoint.authority}{target}"
            head += _proxy_head(proxy)
        if body or method != "GET":
            head.append(("Content-Length", str(len(body))))
        try:
            sent = self._protocol.send(h11.Request(method=method, target=target, headers=head)) or b""
            if body:
                sent += self._protocol.send(h11.Data(data=body)) or b""
            sent += self._protocol.send(h11.EndOfMessage()) or b""
        except (h11.LocalProtocolError, UnicodeError) as error:
            # Without the error's own words: they repeat the header, and that may be the key.
            raise HttpError("the request cannot be sent: it holds what HTTP forbids") from error
        yield from self._connect()
        until = self._clock() + self._timeout_seconds
        yield Write(self._handle, sent, self._timeout_seconds)
        answer = yield from self._next_head(self._protocol, until)
        return Response(
            answer.status_code, {name.decode("latin-1"): value.decode("latin-1") for name, value in answer.headers}
        )

    def read(self, timeout_seconds: float) -> Logic[bytes]:
        """The next piece of the body, which has to come within that time; empty at the end. Raises OSError."""
        until = self._clock() + timeout_seconds
        while True:
            event = yield from self._next_event(self._protocol, until)
            if not isinstance(event, h11.Data):
                return b""
            if event.data:
                return bytes(event.data)

    def read_whole(self, most_bytes: int, until: float) -> Logic[bytes]:
        """The whole body. Raises OSError, also for one that is larger or not there by then."""
        pieces, size = [], 0
        while piece := (yield from self.read(until - self._clock())):
            pieces.append(piece)
            size += len(piece)
            if size > most_bytes:
                raise HttpError(f"the answer is larger than {most_bytes} bytes")
        return b"".join(pieces)

    def read_refusal(self, response: Response) -> Logic[None]:
        """Read what a refusal says of itself, as far as it comes."""
        try:
            response.body = yield from self.read_whole(_MOST_REASON_BYTES, self._clock() + self._timeout_seconds)
        except OSError:
            response.body = b""

    def close(self) -> Logic[None]:
        if self._handle is not None:
            yield Close(self._handle)
            self._handle = None

    def _connect(self) -> Logic[None]:
        endpoint, proxy, seconds = self._endpoint, self._endpoint.proxy, self._timeout_seconds
        if proxy is None:
            self._handle = yield Connect(endpoint, seconds)
            return
        self._handle = yield Connect(Endpoint(proxy.host, proxy.port, is_tls=False), seconds)
        if not endpoint.is_tls:
            return
        # A tunnel's target always has its port.
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        target = f"{host}:{endpoint.port}"
        tunnel = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST_HEAD_BYTES)
        asked = h11.Request(method="CONNECT", target=target, headers=[("Host", target), *_proxy_head(proxy)])
        until = self._clock() + seconds
        yield Write(self._handle, (tunnel.send(asked) or b"") + (tunnel.send(h11.EndOfMessage()) or b""), seconds)
        answer = yield from self._next_head(tunnel, until)
        if not 200 <= answer.status_code < 300:
            raise HttpError(f"the proxy answered {answer.status_code} to CONNECT")
        self._handle = yield Secure(self._handle, endpoint.host, seconds)

    def _next_head(self, protocol: h11.Connection, until: float) -> Logic[h11.Response]:
        while True:
            event = yield from self._next_event(protocol, until)
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise HttpError("the connection ended before an answer came")

    def _next_event(self, protocol: h11.Connection, until: float) -> Logic[Any]:
        while True:
            try:
                event = protocol.next_event()
                if event is not h11.NEED_DATA:
                    return event
                left = until - self._clock()
                if left <= 0:
                    raise TimeoutError("timed out: the answer did not come in time")
                protocol.receive_data((yield Read(self._handle, left)))
            except h11.ProtocolError as error:
                raise HttpError(f"the answer is no HTTP: {error}") from error


def _proxy_head(proxy: Proxy) -> list[tuple[str, str]]:
    return [] if proxy.authorization is None else [("Proxy-Authorization", proxy.authorization)]


def request(
    endpoint: Endpoint,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes = b"",
    *,
    timeout_seconds: float,
    answer_seconds: float | None = None,
) -> Logic[Response]:
    """One request and its whole answer, decompressed. Raises OSError.

    `timeout_seconds`: for the connection, and for the head of the answer. `answer_seconds`: for the answer as a whole;
    as long as for its head, where it is not given.
    """
    exchange = Exchange(endpoint, timeout_seconds)
    try:
        response = yield from exchange.send(method, path, headers, body)
        until = time.monotonic() + (timeout_seconds if answer_seconds is None else answer_seconds)
        response.body = yield from exchange.read_whole(MOST_BODY_BYTES, until)
    except OSError:
        yield from exchange.close()
        raise
    yield from exchange.close()
    if response.headers.get("content-encoding") == "gzip":
        unpack = partial(_unpacked, response.body)
        response.body = (yield from aside(unpack)) if len(response.body) > LONG_BYTES else unpack()
    return response


def _unpacked(body: bytes) -> bytes:
    """Raises HttpError for what is no gzip, or grows too large."""
    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        found = unpacking.decompress(body, MOST_BODY_BYTES)
    except zlib.error as error:
        raise HttpError("the answer is no valid gzip") from error
    if unpacking.unconsumed_tail:
        raise HttpError(f"the answer is larger than {MOST_BODY_BYTES} bytes")
    if not unpacking.eof:
        raise HttpError("the answer is no valid gzip")
    return found
