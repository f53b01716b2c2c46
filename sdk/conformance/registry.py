"""The cases by name, what each needs, and how one is run."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from sdk.conformance.documents import SERVER_KEY, flag
from sdk.conformance.endpoints import Endpoints
from sdk.conformance.gateway import Gateway
from sdk.conformance.service import EVALUATES, GRPC, Client, Kind, Service

_PATIENCE_SECONDS = 60.0
# Short, so that the whole harness takes a minute. What a case is not about is long, for a busy machine.
QUICK = {
    "firstBackoffSeconds": 0.05,
    "mostBackoffSeconds": 0.3,
    "mostRefusedSeconds": 0.5,
    "pollSeconds": 0.1,
    "pollAfterSeconds": 60.0,
    "staleAfterSeconds": 60.0,
    "connectSeconds": 30.0,
    "answerSeconds": 30.0,
    "silenceSeconds": 30.0,
    "healthySeconds": 30.0,
    "flushSeconds": 0.05,
    "startWaitSeconds": 30.0,
    "closeWaitSeconds": 10.0,
}


class FailedError(AssertionError):
    """A case does not hold."""


def expect(is_so: object, otherwise: str) -> None:
    """Raises FailedError with what was seen."""
    if not is_so:
        raise FailedError(otherwise)


def equal(found: Any, expected: Any, what: str = "") -> None:
    expect(found == expected, f"{what or 'found'}: {found!r}, expected: {expected!r}")


class Run:
    """What one case works with: a mocked server, clients of one SDK, and a folder."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service = service
        self.folder = folder
        self._stack = ExitStack()
        self._servers: list[Endpoints] = []
        self._clients: list[Client] = []
        self._gateways: dict[Endpoints, Gateway] = {}

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        # The last one first: it may be behind the one before it, and sends its events on the way out.
        for client in reversed(self._clients):
            client.forget()
        for gateway in self._gateways.values():
            gateway.close()
        for server in self._servers:
            server.close()
        self._stack.close()

    def on_exit(self, function: Callable[[], object]) -> None:
        self._stack.callback(function)

    def server(self, *flags: dict[str, Any], is_tls: bool = False) -> Endpoints:
        """A mocked server; without flags, with one that gives everybody true."""
        self._servers.append(Endpoints(*(flags or (flag(),)), is_tls=is_tls))
        return self._servers[-1]

    def client(self, server: Endpoints, *, url: str = "", key: str = SERVER_KEY, **options: Any) -> Client:
        if GRPC in self.service.kind.capabilities:
            if server not in self._gateways:
                self._gateways[server] = Gateway(server)
            options["grpc"] = self._gateways[server].target
        self._clients.append(Client(self.service, url or server.url, key, {**QUICK, **options}))
        return self._clients[-1]

    def client_of(self, service: Service, server: Endpoints, **options: Any) -> Client:
        """A client of another service, such as an edge that the one under test is behind."""
        self._clients.append(Client(service, server.url, SERVER_KEY, {**QUICK, **options}))
        return self._clients[-1]

    def following(self, server: Endpoints, **options: Any) -> Client:
        """A client whose stream is open."""
        client = self.client(server, **options)
        self.until(lambda: server.streams, "the stream is open")
        return client

    @staticmethod
    def until(check: Callable[[], Any], what: str) -> Any:
        """Wait until it is so."""
        since = time.monotonic()
        while not (found := check()):
            waited = time.monotonic() - since
            expect(waited < _PATIENCE_SECONDS, f"it did not come about that {what}")
            # Each check may be a request: what takes longer is looked at less often.
            time.sleep(min(0.05, max(0.002, waited / 10)))
        return found

    def check_streams(self) -> None:
        """Of any case: no client ever has two streams at once."""
        for server in self._servers:
            most = max(1, len(self._clients))
            expect(server.most_streams <= most, f"{server.most_streams} streams at once of {most} clients")


Play: TypeAlias = Callable[[Run], None]


@dataclass(frozen=True, slots=True)
class Case:
    """`needs` are capabilities of a service; where one is missing, the case does not apply.

    One that `is_slow` waits for seconds. The tests put one service through it; the harness all of them.
    """

    group: str
    title: str
    play: Play
    needs: frozenset[str]
    is_slow: bool = False

    @property
    def name(self) -> str:
        return f"{self.group}: {self.title}"

    def applies_to(self, kind: Kind) -> bool:
        return self.needs <= kind.capabilities and (not kind.groups or self.group in kind.groups)


CASES: dict[str, Case] = {}


def case(
    group: str, title: str, *needs: str, is_slow: bool = False, is_for_pages: bool = False
) -> Callable[[Play], Play]:
    """Register the function as a case; `is_for_pages`: also of an SDK that is given answers and evaluates nothing."""

    def register(play: Play) -> Play:
        needed = frozenset(needs) if is_for_pages else frozenset({*needs, EVALUATES})
        made = Case(group, title, play, needed, is_slow)
        if made.name in CASES:
            raise ValueError(f"there are two cases {made.name!r}")
        CASES[made.name] = made
        return play

    return register


def play(one: Case, service: Service, folder: Path) -> None:
    """Raises FailedError where the case does not hold."""
    with Run(service, folder) as run:
        one.play(run)
        run.check_streams()
