"""Fixtures for whoever tests with streams: the real server on a port of its own, and a client that reads events."""

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from django.conf import settings
from django.utils.module_loading import import_string

from flags.streaming.hub import HUB
from flags.streaming.server import StreamServer, configure

# How long a test waits for what never comes. A busy machine is slow.
SECONDS = 90


def eventually(condition: Callable[[], Any], *, seconds: float = SECONDS) -> Any:
    """Wait until `condition` gives something true, and return that."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)
    return found


@dataclass(frozen=True, slots=True)
class Received:
    """One event as a client sees it; of a comment only `comment` is filled, of a `retry:` line only `retry`.

    `body` is the data as it came, which `signatures` are of.
    """

    event: str = ""
    id: int | None = None
    data: Any = None
    comment: str = ""
    retry: int | None = None
    signatures: tuple[str, ...] = ()
    body: bytes = b""


class Stream:
    """A client of the stream over a real socket."""

    def __init__(
        self,
        port: int,
        secret: str,
        *,
        last: int | None = None,
        path: str = "/api/stream",
        host: str = "127.0.0.1",
        **headers: str,
    ) -> None:
        sent = {
            "Authorization": f"Bearer {secret}",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        if last is not None:
            sent["Last-Event-ID"] = str(last)
        self._connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
        self._connection.request("GET", path, headers=sent)
        # Kept apart: of a response without an end the connection forgets its socket.
        self._socket = self._connection.sock
        try:
            self.response = self._connection.getresponse()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        self.status = self.response.status

    def json(self) -> Any:
        return orjson.loads(self.response.read())

    def next(self) -> Received | None:
        """The next event, comment or retry line; None where the stream has ended."""
        fields: dict[str, str] = {}
        signatures: list[str] = []
        while line := self._line():
            text = line.rstrip(b"\n").decode()
            if not text:
                return _received(fields, signatures)
            name, _, value = text.partition(":")
            if name == "signature":
                signatures.append(value.removeprefix(" "))
            else:
                fields[name] = value.removeprefix(" ")
        return None

    def _line(self) -> bytes:
        try:
            return self.response.readline()
        except http.client.IncompleteRead:
            return b""  # cut in the middle of a chunk: what came of it is no whole event

    def next_event(self) -> Received:
        # Without a deadline, keep-alives would let a test wait for ever.
        deadline = time.monotonic() + 2 * SECONDS
        while (found := self.next()) is not None:
            if found.event:
                return found
            assert time.monotonic() < deadline, "There is no event."
        raise AssertionError("The stream ended.")

    def hang_up(self) -> None:
        """Cut the connection as a network would; a thread that waits for the next event is told that there is none."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the other side was quicker

    def close(self) -> None:
        self.hang_up()
        self.response.close()
        self._connection.close()


def _received(fields: dict[str, str], signatures: list[str]) -> Received:
    return Received(
        event=fields.get("event", ""),
        id=int(fields["id"]) if "id" in fields else None,
        data=orjson.loads(fields["data"]) if "data" in fields else None,
        comment=fields.get("", ""),
        retry=int(fields["retry"]) if "retry" in fields else None,
        signatures=tuple(signatures),
        body=fields.get("data", "").encode(),
    )


@pytest.fixture
def stream_port(transactional_db: None) -> Iterator[int]:
    """The stream process's server and application in a thread of this process. Make what it is to know of before."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = StreamServer(configure(import_string(settings.ASGI_APPLICATION)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="stream-server")
    thread.start()
    try:
        eventually(lambda: server.started)
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(SECONDS)
    assert not thread.is_alive()


@pytest.fixture
def listen(stream_port: int) -> Iterator[Callable[..., Stream]]:
    """Open streams, and close them when the test is over."""
    opened: list[Stream] = []

    def _listen(secret: str, **options: Any) -> Stream:
        opened.append(Stream(stream_port, secret, **options))
        return opened[-1]

    yield _listen
    for stream in opened:
        stream.close()
    eventually(lambda: HUB.client_count == 0)
