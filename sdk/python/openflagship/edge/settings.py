"""The settings of an edge, from environment variables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class EdgeEnvironment:
    """One environment: its server key, and the client keys that this edge accepts."""

    server_key: str
    client_keys: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class EdgeSettings:
    """`data_dir` holds snapshots for a start without the server. `options` are those of the client."""

    url: str
    environments: tuple[EdgeEnvironment, ...]
    stream_url: str | None = None
    data_dir: Path | None = None
    origins: tuple[str, ...] = ()
    signing_secret: str | None = None
    keep_alive_seconds: float = 15.0
    # Requests a minute of one credential; 0 for any number.
    rate_limit: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.environments:
            raise ValueError("Give at least one environment's server key.")
        keys = [key for one in self.environments for key in (one.server_key, *one.client_keys)]
        if len(keys) != len(set(keys)) or not all(keys):
            raise ValueError("Every key must be there once, and none may be empty.")

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> EdgeSettings:
        """Raises ValueError naming the variable."""
        url = environ.get("FLAGSHIP_EDGE_URL", "")
        if not url:
            raise ValueError("Set FLAGSHIP_EDGE_URL to the server's address.")
        data_dir = environ.get("FLAGSHIP_EDGE_DATA_DIR", "")
        return cls(
            url=url,
            stream_url=environ.get("FLAGSHIP_EDGE_STREAM_URL") or None,
            environments=_environments(environ.get("FLAGSHIP_EDGE_KEYS", "")),
            data_dir=Path(data_dir) if data_dir else None,
            origins=tuple(origin for origin in environ.get("FLAGSHIP_EDGE_ORIGINS", "").split(",") if origin),
            signing_secret=environ.get("FLAGSHIP_EDGE_SIGNING_SECRET") or None,
            rate_limit=_rate_limit(environ.get("FLAGSHIP_EDGE_RATE_LIMIT", "0")),
        )


def _rate_limit(text: str) -> int:
    if not text.isdigit():
        raise ValueError("FLAGSHIP_EDGE_RATE_LIMIT: give the requests a minute of one key, or 0 for any number.")
    return int(text)


def _environments(text: str) -> tuple[EdgeEnvironment, ...]:
    """`fs_server_a` or `fs_server_a,fs_server_b`, or JSON: `[{"serverKey": …, "clientKeys": […]}]`."""
    if not text.lstrip().startswith("["):
        return tuple(EdgeEnvironment(server_key=key.strip()) for key in text.split(",") if key.strip())
    try:
        return tuple(
            EdgeEnvironment(server_key=one["serverKey"], client_keys=tuple(one.get("clientKeys", ())))
            for one in json.loads(text)
        )
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError('FLAGSHIP_EDGE_KEYS: give keys, or [{"serverKey": "…", "clientKeys": ["…"]}].') from error
