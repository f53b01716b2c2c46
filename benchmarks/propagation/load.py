"""The other side of the propagation benchmark, in processes of its own: streams, probes, load, a bare server."""

import http.client
import multiprocessing
import selectors
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import orjson

SECONDS = 120
BARE = "benchmarks.propagation.load:bare"


class Streams:
    """So many open streams, held by a process of their own; `expect` tells when each had heard an event."""

    def __init__(self, port: int, secret: str, count: int, *, path: str = "/api/stream", last: int = 0) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_hold, args=(theirs, port, _request(secret, path, last), count), daemon=True
        )
        self._process.start()
        self._receive("ready")

    def expect(self, version: int, act: Callable[[], float]) -> list[float]:
        """Seconds from the moment `act` returns (of time.monotonic) to each client's hearing `version`, ascending."""
        self._pipe.send(version)
        self._receive("waiting")
        since = act()
        return sorted(at - since for at in self._receive())

    def _receive(self, wanted: str | None = None) -> Any:
        if not self._pipe.poll(SECONDS):
            raise TimeoutError("The stream clients did not answer in time.")
        found = self._pipe.recv()
        if wanted is not None and found != wanted:
            raise RuntimeError(f"The stream clients say: {found}")
        return found

    def close(self) -> None:
        self._process.kill()
        self._process.join(SECONDS)


def _request(secret: str, path: str, last: int) -> bytes:
    headers = f"Host: localhost\r\nAuthorization: Bearer {secret}\r\nLast-Event-ID: {last}"
    return f"GET {path} HTTP/1.1\r\n{headers}\r\n\r\n".encode()


def _hold(pipe: Connection, port: int, request: bytes, count: int) -> None:
    sockets = []
    for number in range(count):
        connection = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        connection.sendall(request)
        sockets.append(connection)
        if number % 50 == 49 or number == count - 1:
            for opened in sockets[-(number % 50 + 1) :]:
                head = b""
                while b"\n\n" not in head:
                    head += opened.recv(4096)
                if not head.startswith(b"HTTP/1.1 200"):
                    pipe.send(head.decode())
                    return
    selector = selectors.DefaultSelector()
    for opened in sockets:
        opened.setblocking(False)
        selector.register(opened, selectors.EVENT_READ, bytearray())
    pipe.send("ready")
    while True:
        pipe.send(_wait_for(selector, pipe, b"id: %d\n" % pipe.recv(), count))


def _wait_for(selector: selectors.BaseSelector, pipe: Connection, mark: bytes, count: int) -> list[float]:
    pipe.send("waiting")
    heard: dict[int, float] = {}
    while len(heard) < count:
        for key, _ in selector.select(1):
            received = key.fileobj.recv(262_144)
            now = time.monotonic()
            if not received:
                raise ConnectionError("A stream was closed.")
            # What the mark may have been cut in two by.
            text = key.data[-len(mark) :] + received
            key.data[:] = received[-64:]
            if mark in text:
                heard[key.fd] = now
    return list(heard.values())


class Probe:
    """Asks one worker again and again from a process of its own, and tells when it first answered with a version."""

    def __init__(self, port: int, secret: str, flag: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_probe, args=(theirs, port, secret, flag), daemon=True)
        self._process.start()

    def expect(self, version: int) -> None:
        self._pipe.send(version)
        if self._pipe.recv() != "asking":
            raise RuntimeError("The probe is out of step.")

    def reached_at(self) -> float:
        """When (time.monotonic) the answer with the expected version had arrived."""
        if not self._pipe.poll(SECONDS):
            raise TimeoutError("The worker did not reach the version in time.")
        return float(self._pipe.recv())

    def close(self) -> None:
        self._process.kill()
        self._process.join(SECONDS)


def _probe(pipe: Connection, port: int, secret: str, flag: str) -> None:
    body = orjson.dumps({"flagKey": flag, "userId": "user-1"})
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    while True:
        version = pipe.recv()
        pipe.send("asking")
        while True:
            connection.request("POST", "/api/evaluate", body, headers)
            answer = orjson.loads(connection.getresponse().read())
            now = time.monotonic()
            if answer["configVersion"] >= version:
                pipe.send(now)
                break
            time.sleep(0.001)  # often enough to time milliseconds, and the worker keeps time for the change itself


def throughput(port: int, secret: str, flag: str, *, seconds: float, connections: int = 4) -> list[float]:
    """The seconds that each evaluation took over so many connections kept open, ascending; asked by another process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    body = orjson.dumps({"flagKey": flag, "userId": "user-1"})
    headers = f"Host: localhost\r\nAuthorization: Bearer {secret}\r\nContent-Type: application/json"
    request = f"POST /api/evaluate HTTP/1.1\r\n{headers}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    process = context.Process(target=_load, args=(theirs, port, request, seconds, connections), daemon=True)
    process.start()
    try:
        if not ours.poll(seconds + SECONDS):
            raise TimeoutError("The load did not end in time.")
        return sorted(ours.recv())
    finally:
        process.join(SECONDS)


def _load(pipe: Connection, port: int, request: bytes, seconds: float, connections: int) -> None:
    took: list[float] = []
    until = time.monotonic() + seconds

    def ask() -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as opened:
            while (since := time.monotonic()) < until:
                opened.sendall(request)
                answer = b""
                while not answer.endswith(b"}"):
                    answer += opened.recv(8192)
                if b" 200 " not in answer[:16]:
                    raise RuntimeError(answer[:300].decode())
                took.append(time.monotonic() - since)

    threads = [threading.Thread(target=ask) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipe.send(took)


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """The least an ASGI server can do: a queue for each client, and `POST /fire` puts its body into all of them."""
    import asyncio  # noqa: PLC0415 - the other parts have no loop

    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["path"] == "/fire":
        body, is_more = b"", True
        while is_more:
            message = await receive()
            body, is_more = body + message.get("body", b""), message.get("more_body", False)
        for queue in _QUEUES:
            queue.put_nowait(body)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        return
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    _QUEUES.append(queue)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    await send({"type": "http.response.body", "body": b"retry: 1\n\n", "more_body": True})
    while True:
        await send({"type": "http.response.body", "body": await queue.get(), "more_body": True})


_QUEUES: list[Any] = []
