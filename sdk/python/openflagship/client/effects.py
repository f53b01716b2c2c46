"""What the client's logic asks its surroundings to do. The logic is generators that yield these; a driver does them.

There are two drivers, one on threads and one on asyncio, and nothing of the logic is in either. A driver sends the
result back into the generator, or throws what went wrong: OSError (TimeoutError included) and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar
from urllib.parse import SplitResult, urlsplit

from openflagship.client.proxies import Proxy, proxy_for


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens; `prefix` is the path below which its routes are, `proxy` leads there."""

    host: str
    port: int
    is_tls: bool
    prefix: str = ""
    proxy: Proxy | None = None

    @classmethod
    def of(cls, url: str, proxy: str | None = None) -> Endpoint:
        """`proxy` as in `Options`. Raises ValueError for what is no http or https address."""
        parts: SplitResult = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"Give an address such as https://flags.example.com, not {url!r}.")
        is_tls = parts.scheme == "https"
        port = parts.port or (443 if is_tls else 80)
        way = proxy_for(parts.scheme, parts.hostname, port, proxy)
        return cls(parts.hostname, port, is_tls, parts.path.rstrip("/"), way)

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a connection, past any proxy, with TLS where the endpoint has it; the result is a handle for the others."""

    endpoint: Endpoint
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Secure:
    """Speak TLS on a connection from here on; the result is the handle to use instead."""

    handle: Any
    host: str
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Write:
    handle: Any
    data: bytes
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Read:
    """Read what has come, at least one byte; the result is empty at the end."""

    handle: Any
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Close:
    handle: Any


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait until the time is over or the logic is woken; the result says whether it was woken."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Call:
    """Call what may take a while, such as writing a file; the result is its own. It raises nothing but OSError."""

    function: Callable[[], Any]


Effect: TypeAlias = Connect | Secure | Write | Read | Close | Pause | Call
Answered = TypeVar("Answered")
Logic: TypeAlias = Generator[Effect, Any, Answered]
