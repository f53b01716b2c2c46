"""The steps that the client's logic asks for. The logic is generators that yield them; a driver carries them out.

There are two drivers, one on threads and one on asyncio; neither contains any logic. A driver sends the result back
into the generator, or throws OSError (TimeoutError included) and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar, cast
from urllib.parse import SplitResult, urlsplit

from openflagship.client.transport.proxies import Proxy, proxy_for


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of a server. Its routes stand below the path `prefix`; `proxy` leads to it."""

    host: str
    port: int
    is_tls: bool
    prefix: str = ""
    proxy: Proxy | None = None

    @classmethod
    def of(cls, url: str, proxy: str | None = None) -> Endpoint:
        """`proxy` as in `Options`. Raises ValueError for an address that is neither http nor https."""
        parts: SplitResult = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            # Not the address itself: it may hold a password.
            raise ValueError("Give an address such as https://flags.example.com.")
        is_tls = parts.scheme == "https"
        port = parts.port or (443 if is_tls else 80)
        way = proxy_for(parts.scheme, parts.hostname, port, proxy)
        return cls(parts.hostname, port, is_tls, parts.path.rstrip("/"), way)

    @property
    def origin(self) -> tuple[str, int, bool]:
        """What two addresses of one server share."""
        return self.host, self.port, self.is_tls

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a connection, through a proxy where there is one. The result is a handle for the other steps."""

    endpoint: Endpoint
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Secure:
    """Start TLS on a connection. The result is the handle to use from then on."""

    handle: Any
    host: str
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Write:
    handle: Any
    # The key stands in it.
    data: bytes = field(repr=False)
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Read:
    """Wait for at least one byte and read what has come. The result is empty at the end of the connection."""

    handle: Any
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Close:
    handle: Any


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait until the time is over or the logic is woken. The result says whether it was woken."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Turn:
    """Let others on the same event loop have their turn, within work that takes long."""


@dataclass(frozen=True, slots=True)
class Call:
    """Call a slow function, such as one that writes a file, and return its result. It raises only OSError."""

    function: Callable[[], Any]


Effect: TypeAlias = Connect | Secure | Write | Read | Close | Pause | Turn | Call
Answered = TypeVar("Answered")
Logic: TypeAlias = Generator[Effect, Any, Answered]


def aside(function: Callable[[], Answered]) -> Logic[Answered]:
    """Compute what takes long where it holds up no event loop. Raises what the function raises."""

    def attempt() -> tuple[Answered | None, Exception | None]:
        try:
            return function(), None
        except Exception as error:  # noqa: BLE001 - it is raised again below, where the logic can catch it
            return None, error

    result, error = yield Call(attempt)
    if error is not None:
        raise error
    return cast("Answered", result)
