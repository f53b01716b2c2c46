"""A POST to an address that a person entered: never to an inner network, and never for longer than it may take.

The name is resolved once; each address it has is checked; the connection goes to one that passed, whatever DNS says
by then. A redirect is an answer like any other, so nobody is led elsewhere. Resolving, connecting and reading share one
deadline, also where the other side sends a byte now and then.
"""

import http.client
import io
import queue
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import structlog

from integrations.outside.addresses import refusal
from integrations.outside.targets import BadTargetError, Target, read_target

log = structlog.get_logger(__name__)

SECONDS: Final = 5.0
KEPT_BYTES: Final = 64 * 1024
_MOST_HEADERS: Final = 50
_MOST_HEADER_CHARACTERS: Final = 1000
_SENT_AT_ONCE: Final = 64 * 1024


class CallError(Exception):
    """There was no whole answer; the message says why, in words."""


class ForbiddenAddressError(CallError):
    """The name leads to an address that must not be called."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side said. `body` is its beginning, at most KEPT_BYTES."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class _Deadline:
    at: float = field(default_factory=lambda: time.monotonic() + SECONDS)

    def left(self) -> float:
        """Raises TimeoutError once it is over."""
        seconds = self.at - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds


def post(url: str, body: bytes, headers: Mapping[str, str], *, is_operators: bool = False) -> Answer:
    """Send the body once. Raises CallError. An operator's own address may be in an inner network."""
    deadline = _Deadline()
    try:
        target = read_target(url)
        return _exchange(target, _connected(target, deadline, is_operators), deadline, body, headers)
    except BadTargetError as error:
        raise CallError(str(error)) from error
    except TimeoutError as error:
        raise CallError(f"No whole answer came within {SECONDS:g} seconds.") from error
    except ssl.SSLError as error:
        raise CallError(f"TLS failed: {error.reason or error}.") from error
    except (http.client.HTTPException, ValueError) as error:
        raise CallError(f"The answer is no HTTP: {type(error).__name__}.") from error
    except OSError as error:
        raise CallError(f"The connection failed: {error.strerror or type(error).__name__}.") from error


def check(url: str, *, is_operators: bool = False) -> None:
    """Raise BadTargetError or ForbiddenAddressError for what `post` would refuse. A name may be unknown as yet.

    It asks DNS, so call it before a lock is taken.
    """
    target = read_target(url)
    try:
        _resolved(target, _Deadline(), is_operators)
    except ForbiddenAddressError:
        raise
    except (CallError, TimeoutError):
        return


# -- To the address --------------------------------------------------------------------------------------------------


def _resolved(target: Target, deadline: _Deadline, is_operators: bool = False) -> list[tuple[Any, ...]]:
    """The addresses of the name that may be called, as getaddrinfo has them."""
    found: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found.put(socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.put(error)

    # The resolver knows no deadline of ours, so a thread waits for it.
    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        answer = found.get(timeout=deadline.left())
    except queue.Empty as error:
        raise TimeoutError from error
    if isinstance(answer, Exception) or not answer:
        raise CallError(f"DNS knows no host {target.host}.")
    problems = [refusal(address[0], is_operators=is_operators) for *_, address in answer]
    allowed = [row for row, problem in zip(answer, problems, strict=True) if not problem]
    if not allowed:
        # Whoever entered the name is not told where it leads: that would map the inner network.
        log.warning("outside_call_refused", host=target.host, why=problems[0])
        raise ForbiddenAddressError(
            f"{target.host} has no public address. An operator can allow an inner network by WEBHOOK_ALLOWED_NETWORKS."
        )
    return allowed


def _connected(target: Target, deadline: _Deadline, is_operators: bool) -> socket.socket:
    trouble: OSError = OSError("no address")
    rows = _resolved(target, deadline, is_operators)
    for number, (family, kind, protocol, _, address) in enumerate(rows):
        connection = socket.socket(family, kind, protocol)
        try:
            # One that never answers, as IPv6 does in some networks, leaves the others their share.
            connection.settimeout(deadline.left() / (len(rows) - number))
            connection.connect(address)
            if target.scheme == "https":
                connection.settimeout(deadline.left())
                return _tls().wrap_socket(connection, server_hostname=target.host.rstrip("."))
        except OSError as error:
            connection.close()
            trouble = error
        else:
            return connection
    raise trouble


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


# -- The exchange ----------------------------------------------------------------------------------------------------


class _Reader(io.RawIOBase):
    """Reads from a connection until the deadline."""

    def __init__(self, connection: socket.socket, deadline: _Deadline) -> None:
        super().__init__()
        self._connection, self._deadline = connection, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        self._connection.settimeout(self._deadline.left())
        return self._connection.recv_into(into)


class _Bounded:
    """A connection as http.client wants it. It stays open until `_exchange` closes it."""

    def __init__(self, connection: socket.socket, deadline: _Deadline) -> None:
        self._connection, self._deadline = connection, deadline

    def sendall(self, data: bytes) -> None:
        for at in range(0, len(data), _SENT_AT_ONCE):
            self._connection.settimeout(self._deadline.left())
            self._connection.sendall(data[at : at + _SENT_AT_ONCE])

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._connection, self._deadline))

    def close(self) -> None:
        """http.client closes what it reads from later."""


def _exchange(
    target: Target, connection: socket.socket, deadline: _Deadline, body: bytes, headers: Mapping[str, str]
) -> Answer:
    with connection:
        client = http.client.HTTPConnection(target.host, target.port)
        client.sock = _Bounded(connection, deadline)
        sent = {"Host": target.authority, "Accept-Encoding": "identity", "Connection": "close", **headers}
        client.request("POST", target.path, body, sent)
        with client.getresponse() as response:
            start = response.read(KEPT_BYTES + 1)
            shown = [(name, value[:_MOST_HEADER_CHARACTERS]) for name, value in response.getheaders()]
            return Answer(response.status, dict(shown[:_MOST_HEADERS]), start[:KEPT_BYTES], len(start) > KEPT_BYTES)
