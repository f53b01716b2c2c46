"""What the client's logic asks its surroundings to do. The logic is generators that yield these; a driver does them.

There are two drivers, one on threads and one on asyncio, and nothing of the logic is in either. A driver sends the
result back into the generator, or throws what went wrong: OSError (TimeoutError included) and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar
from urllib.parse import SplitResult, urlsplit


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens; `prefix` is the path below which its routes are."""

    host: str
    port: int
    is_tls: bool
    prefix: str = ""

    @classmethod
    def of(cls, url: str) -> Endpoint:
        """Raises ValueError for what is no http or https address."""
        parts: SplitResult = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"Give an address such as https://flags.example.com, not {url!r}.")
        is_tls = parts.scheme == "https"
        return cls(parts.hostname, parts.port or (443 if is_tls else 80), is_tls, parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a connection; the result is a handle for the effects below."""

    endpoint: Endpoint
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


Effect: TypeAlias = Connect | Write | Read | Close | Pause | Call
Answered = TypeVar("Answered")
Logic: TypeAlias = Generator[Effect, Any, Answered]
