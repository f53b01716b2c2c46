"""HTTP/1.1 on an edge: what is answered at once is answered as uvicorn would answer it, however it arrives."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
from edge_process import EdgeThread
from openflagship.edge import server
from openflagship.edge.operations import Call
from openflagship.edge.protocol import EdgeProtocol
from openflagship.serving.timed_protocol import HEAD_SECONDS
from openflagship.serving.uvicorn_protocol import AtOnceProtocol
from openflagship.wire import reading
from sdk_fixtures import treatment
from small_platform import KEY, SmallPlatform, eventually

_ASKED = json.dumps({"flagKey": "asked", "userId": "user-1"}).encode()
_CONTEXT = json.dumps({"context": {"targetingKey": "user-1"}}).encode()
_ID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_TOKEN = re.compile(rb"token=[^&\"]+")
_AGE = re.compile(rb"x-flagship-age: \d+")
_PIECES_SECONDS = 0.02


def request(path: str, body: bytes = b"", *headers: str, method: str = "POST", version: str = "1.1") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: edge", f"Authorization: Bearer {KEY}", "X-Request-ID: mine"]
    lines += ["Content-Type: application/json", *headers]
    if not any(line.startswith("Transfer-Encoding") for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


EVALUATE = request("/api/flags/evaluate", _ASKED)
CHUNKED = request("/api/flags/evaluate", b"", "Transfer-Encoding: chunked") + b"".join(
    b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (_ASKED[:7], _ASKED[7:])
)
LAST = request("/healthz", b"", "Connection: close", method="GET")
CASES: dict[str, tuple[bytes, ...]] = {
    "whole": (EVALUATE,),
    "twice": (EVALUATE, EVALUATE),
    "head, then body": (EVALUATE[: -len(_ASKED)], _ASKED),
    "body in two": (EVALUATE[:-9], EVALUATE[-9:]),
    "head in two": (EVALUATE[:30], EVALUATE[30:]),
    "byte by byte": tuple(EVALUATE[index : index + 1] for index in range(len(EVALUATE))),
    "three at once": (EVALUATE * 3,),
    "one and a half": (EVALUATE + EVALUATE[:-9], EVALUATE[-9:]),
    "behind one that waits": (request("/api/events/exposure", b'{"events":[]}') + EVALUATE + LAST,),
    "before one that waits": (EVALUATE + request("/api/events/exposure", b'{"events":[]}') + EVALUATE,),
    "chunked": (CHUNKED + b"0\r\n\r\n",),
    "chunked, its end later": (CHUNKED, b"0\r\n\r\n"),
    "the flag in the path": (request("/ofrep/v1/evaluate/flags/as%6bed?x=1", _CONTEXT),),
    "all flags": (request("/ofrep/v1/evaluate/flags?exposures=none", _CONTEXT),),
    "evaluate all": (request("/api/flags/evaluate/all", b'{"userId":"u"}'),),
    "snapshot": (request("/api/snapshot", method="GET"),),
    "snapshot's head": (request("/api/snapshot", method="HEAD"),),
    "options": (request("/api/flags/evaluate", method="OPTIONS"),),
    "another method": (request("/api/flags/evaluate", method="GET"),),
    "no such flag": (request("/api/flags/evaluate", b'{"flagKey":"no"}'),),
    "no JSON": (request("/api/flags/evaluate", b"{"),),
    "no body": (request("/api/flags/evaluate"),),
    "no key": (EVALUATE.replace(KEY.encode(), b"fs_server_nobody"),),
    "its media type": (EVALUATE.replace(b"application/json", b"text/plain"),),
    "too large": (request("/api/flags/evaluate", b'"' + b"x" * 1_100_000 + b'"'),),
    "from a page": (request("/ofrep/v1/evaluate/flags/asked", _CONTEXT, "Origin: https://shop.example.com"),),
    "waits for 100": (request("/api/flags/evaluate", _ASKED, "Expect: 100-continue"),),
    "an upgrade": (request("/api/flags/evaluate", _ASKED, "Connection: upgrade, close", "Upgrade: websocket"),),
    "closes": (request("/api/flags/evaluate", _ASKED, "Connection: close"),),
    "of old": (request("/api/flags/evaluate", _ASKED, version="1.0"),),
    "an absolute address": (request("http://edge/api/flags/evaluate", _ASKED),),
    "two slashes": (request("//api/flags/evaluate", _ASKED),),
    "no such path": (request("/api/nothing", _ASKED),),
    "no HTTP": (b"\0\1\2\r\n\r\n",),
}


@pytest.fixture
def uvicorns(platform: SmallPlatform, edge: EdgeThread, monkeypatch: pytest.MonkeyPatch) -> Iterator[EdgeThread]:
    """The same edge behind uvicorn's own protocol."""
    monkeypatch.setattr(server, "_protocol", lambda: "httptools")
    other = EdgeThread(platform.url, origins=("https://shop.example.com",))
    eventually(other.is_ready)
    yield other
    other.close()


def said(port: int, pieces: tuple[bytes, ...]) -> bytes:
    """All that comes back until the connection is closed, which it is after a last request; no ids, tokens and ages."""
    found = b""
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in pieces:
                connection.sendall(piece)
                if piece is not pieces[-1]:
                    time.sleep(_PIECES_SECONDS if len(pieces) < 10 else 0)
            connection.sendall(LAST)
        except OSError:
            pass  # it was closed before
        try:
            while content := connection.recv(65536):
                found += content
        except ConnectionResetError:
            pass
    return _AGE.sub(b"age", _TOKEN.sub(b"token", _ID.sub(b"id", found)))


def test_requests__however_they_arrive__are_answered_as_by_uvicorn(edge: EdgeThread, uvicorns: EdgeThread) -> None:
    for name, pieces in CASES.items():
        expected = said(uvicorns.port, pieces)
        assert expected.startswith(b"HTTP/1.1 "), name
        assert said(edge.port, pieces) == expected, name


def test_evaluation__before_what_is_no_http__is_answered_before_that_is_refused(edge: EdgeThread) -> None:
    found = said(edge.port, (EVALUATE + b"\0\1\2\r\n\r\n",))
    assert re.findall(rb"HTTP/1.1 (\d+)", found) == [b"200", b"400"]


def test_evaluation__that_comes_whole__needs_no_task(edge: EdgeThread, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    original = AtOnceProtocol._begin
    monkeypatch.setattr(AtOnceProtocol, "_begin", lambda self: (begun.append(self.url.decode()), original(self)))
    assert b" 200 " in said(edge.port, (EVALUATE + request("/api/snapshot", method="GET"),))
    # The last request of each connection closes it.
    assert begun == ["/healthz"]


def test_caller_that_reads_nothing__is_not_answered_beyond_what_fits(edge: EdgeThread) -> None:
    answered = edge.edge.metrics.requests
    with socket.create_connection(("127.0.0.1", edge.port), 60) as connection:
        connection.setblocking(False)
        sent, burst, stuck_at = 0, EVALUATE * 200, time.monotonic()
        while time.monotonic() - stuck_at < 1 and sent < 2_000_000_000:
            try:
                sent += connection.send(burst[sent % len(burst) :])
                stuck_at = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
        before = answered[200]
        # Its own sockets hold a few megabytes; the edge takes no more.
        assert sent < 100_000_000
        assert edge.ask("POST", "/api/flags/evaluate", json.loads(_ASKED))[0] == 200
        connection.setblocking(True)
        connection.settimeout(60)
        sending = threading.Thread(target=connection.sendall, args=(burst[sent % len(burst) :] + LAST,))
        sending.start()
        found = b""
        while content := connection.recv(1_000_000):
            found += content
        sending.join()
    assert found.count(b"HTTP/1.1 200 OK") == -(-sent // len(burst)) * 200 + 1
    assert answered[200] > before


def test_connection__that_rests__is_closed_after_its_time(
    platform: SmallPlatform, run_edge: Callable[..., EdgeThread], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_KEEP_ALIVE_SECONDS", 1)
    running = run_edge(platform.url)
    eventually(running.is_ready)
    with socket.create_connection(("127.0.0.1", running.port), 60) as connection:
        for _ in range(3):
            asked_at = time.monotonic()
            connection.sendall(EVALUATE)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        assert connection.recv(65536) == b""
        # A loop rounds its clock to milliseconds, down as well.
        assert 0.9 <= time.monotonic() - asked_at < 10


@pytest.mark.parametrize(
    "before", [b"", EVALUATE, request("/healthz", method="GET")], ids=["first", "second", "as a task"]
)
def test_connection__on_which_a_head_stays_half__is_dropped(
    edge: EdgeThread, monkeypatch: pytest.MonkeyPatch, before: bytes
) -> None:
    monkeypatch.setattr(EdgeProtocol, "head_seconds", 0.3)
    with socket.create_connection(("127.0.0.1", edge.port), 60) as connection:
        connection.sendall(before)
        if before:
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        # A byte now and then buys no time.
        connection.settimeout(0.05)
        assert any(_has_ended(connection, b"G") for _ in range(1_000))


def test_connection__whose_head_has_no_end__is_refused_before_its_time(edge: EdgeThread) -> None:
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", edge.port), 60) as connection:
        connection.sendall(b"GET /" + b"a" * 1_000)
        with suppress(ConnectionError):
            while True:
                connection.sendall(b"a" * 100_000)
    assert time.monotonic() - began < HEAD_SECONDS


def test_body__that_stays_half__is_refused_in_time_and_closes_the_connection(
    edge: EdgeThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BODY_SECONDS", 0.3)
    for path in ("/api/flags/evaluate", "/ofrep/v1/evaluate/flags", "/api/events/exposure", "/api/stream/ack"):
        with socket.create_connection(("127.0.0.1", edge.port), 60) as connection:
            connection.sendall(request(path, _ASKED)[:-3])
            answer = _rest_of(connection)
        assert answer.startswith(b"HTTP/1.1 4"), path
        assert b"did not arrive within" in answer


def test_connections__more_than_the_edge_takes__are_refused_and_the_others_go_on(
    platform: SmallPlatform, run_edge: Callable[..., EdgeThread], caplog: pytest.LogCaptureFixture
) -> None:
    running = run_edge(platform.url, most_connections=5)
    eventually(running.is_ready)
    with ExitStack() as stack:

        def connect() -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", running.port), 60))

        def ask(connections: list[socket.socket]) -> list[bytes]:
            for connection in connections:
                connection.sendall(EVALUATE)
            return [connection.recv(65536)[9:12] for connection in connections]

        opened = [connect() for _ in range(9)]
        assert ask(opened) == [b"200"] * 5 + [b"503"] * 4
        assert ask(opened[:5]) == [b"200"] * 5
        assert ask(opened[:5]) == [b"200"] * 5
        opened[0].close()
        opened[1].close()
        eventually(lambda: ask([connect()]) == [b"200"])
    assert caplog.text.count("connections_refused") == 1


def test_stream__beside_which_nothing_is_asked__stays(edge: EdgeThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EdgeProtocol, "head_seconds", 0.2)
    with socket.create_connection(("127.0.0.1", edge.port), 60) as connection:
        began = time.monotonic()
        connection.sendall(request("/api/stream", method="GET"))
        while time.monotonic() - began < 1:
            assert connection.recv(65536)


def _has_ended(connection: socket.socket, content: bytes) -> bool:
    """Send something; whether the other side has ended it."""
    try:
        connection.sendall(content)
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def _rest_of(connection: socket.socket) -> bytes:
    """What comes until the other side ends it."""
    found = b""
    try:
        while content := connection.recv(65536):
            found += content
    except ConnectionResetError:
        pass  # as good an end
    return found


async def _split(call: Call) -> None:
    headers = [(b"x-a", b"b\r\nx-c: d"), (b"content-length", b"0")]
    await call.send({"type": "http.response.start", "status": 200, "headers": headers})
    await call.send({"type": "http.response.body", "body": b""})


async def _fail(_call: Call) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("wrong", [_split, _fail])
def test_answer__that_goes_wrong__is_500_and_the_next_is_answered(
    edge: EdgeThread, wrong: Callable[[Call], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    answering(edge, wrong)
    found = said(edge.port, (EVALUATE,))
    assert found.startswith(b"HTTP/1.1 500 ")
    assert b"x-c" not in found
    assert "POST /api/flags/evaluate failed" in caplog.text
    assert edge.ask("POST", "/ofrep/v1/evaluate/flags/asked", json.loads(_CONTEXT))[0] == 200


def answering(edge: EdgeThread, act: Callable[[Call], Awaitable[None]]) -> None:
    """Let this answer evaluations. The edge is the test's own."""
    object.__setattr__(edge.edge.operations.find("/api/flags/evaluate")[0], "handle", act)


def test_answer__that_waits_all_the_same__is_begun_anew_as_a_task(edge: EdgeThread) -> None:
    bodies: list[object] = []

    async def wait(call: Call) -> None:
        bodies.append((await call.request.json())[0])
        await asyncio.sleep(0.01)
        await call.send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]})
        await call.send({"type": "http.response.body", "body": b""})

    answering(edge, wait)
    found = said(edge.port, (EVALUATE * 3,))
    assert re.findall(rb"HTTP/1.1 (\d+)", found) == [b"202", b"202", b"202", b"200"]
    # The first one alone had nothing before it.
    assert bodies == [json.loads(_ASKED)] * 4


def test_kill__while_answers_go_out__is_in_the_next_one(platform: SmallPlatform, edge: EdgeThread) -> None:
    with socket.create_connection(("127.0.0.1", edge.port), 60) as connection:
        connection.sendall(EVALUATE)
        assert b'"value":true' in connection.recv(65536)
        platform.change(treatment(enabled=False))

        def reason() -> bool:
            connection.sendall(EVALUATE)
            return b'"reason":"DISABLED"' in connection.recv(65536)

        eventually(reason)
