"""HTTP/1.1 as logic: h11 speaks the protocol, the driver moves the bytes. Each request has its own connection."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from typing import Any

import h11

from openflagship.client.effects import Close, Connect, Endpoint, Logic, Read, Secure, Write
from openflagship.client.proxies import Proxy

MOST_BODY_BYTES = 256 * 1024 * 1024
_MOST_HEAD_BYTES = 64 * 1024


class HttpError(OSError):
    """The other side does not speak HTTP, or sends more than the limits allow."""


class Response:
    """Status, headers by lower-case name, and the body, which is empty for a stream."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        self.headers = headers
        self.body = b""


class Exchange:
    """One request and its answer, read piece by piece. The caller must close it in any case."""

    def __init__(self, endpoint: Endpoint, timeout_seconds: float) -> None:
        self._endpoint = endpoint
        self._timeout_seconds = timeout_seconds
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
        except h11.LocalProtocolError as error:
            # Without the error's own words: they repeat the header, and that may be the key.
            raise HttpError("the request cannot be sent: it holds what HTTP forbids") from error
        yield from self._connect()
        yield Write(self._handle, sent, self._timeout_seconds)
        answer = yield from self._next_head(self._protocol)
        return Response(
            answer.status_code, {name.decode("latin-1"): value.decode("latin-1") for name, value in answer.headers}
        )

    def read(self, timeout_seconds: float) -> Logic[bytes]:
        """The next piece of the body; empty at the end. Raises OSError."""
        while True:
            event = yield from self._next_event(self._protocol, timeout_seconds)
            if not isinstance(event, h11.Data):
                return b""
            if event.data:
                return bytes(event.data)

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
        yield Write(self._handle, (tunnel.send(asked) or b"") + (tunnel.send(h11.EndOfMessage()) or b""), seconds)
        answer = yield from self._next_head(tunnel)
        if not 200 <= answer.status_code < 300:
            raise HttpError(f"the proxy answered {answer.status_code} to CONNECT")
        self._handle = yield Secure(self._handle, endpoint.host, seconds)

    def _next_head(self, protocol: h11.Connection) -> Logic[h11.Response]:
        while True:
            event = yield from self._next_event(protocol, self._timeout_seconds)
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise HttpError("the connection ended before an answer came")

    def _next_event(self, protocol: h11.Connection, timeout_seconds: float) -> Logic[Any]:
        while True:
            try:
                event = protocol.next_event()
                if event is not h11.NEED_DATA:
                    return event
                protocol.receive_data((yield Read(self._handle, timeout_seconds)))
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
) -> Logic[Response]:
    """One request and its whole answer, decompressed. Raises OSError."""
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
