"""The settings of an edge, from environment variables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class EdgeEnvironment:
    """One environment: its server key, and the client keys that this edge accepts.

    `name` is what people see of it, in metrics and in `/readyz`. With a `signing_secret` only signed snapshots are
    taken, and those served are signed.
    """

    server_key: str
    client_keys: tuple[str, ...] = ()
    signing_secret: str | None = None
    name: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class EdgeSettings:
    """`data_dir` holds snapshots for a start without the server. `options` are those of the client.

    `signing_secret` is that of the only environment; where there are several, each has its own.
    """

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
        names = [one.name for one in self.environments if one.name]
        if len(names) != len(set(names)):
            raise ValueError("Every environment needs a name of its own.")
        if self.signing_secret == "" or any(one.signing_secret == "" for one in self.environments):
            raise ValueError("A signing secret is empty; leave it out to take unsigned snapshots.")
        if self.signing_secret is not None and len(self.environments) > 1:
            raise ValueError(
                "The server signs each environment with a secret of its own. Leave FLAGSHIP_EDGE_SIGNING_SECRET out, "
                'and give them in FLAGSHIP_EDGE_KEYS: [{"serverKey": "…", "signingSecret": "…"}].'
            )

    def secret_of(self, environment: EdgeEnvironment) -> str | None:
        return environment.signing_secret or self.signing_secret

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
    """`fs_server_a` or `fs_server_a,fs_server_b`, or JSON: a list of objects such as `{"serverKey": …}`."""
    if not text.lstrip().startswith("["):
        return tuple(EdgeEnvironment(server_key=key.strip()) for key in text.split(",") if key.strip())
    try:
        return tuple(_environment(one) for one in json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        said = f"{error}; " if isinstance(error, _SettingError) else ""
        raise ValueError(
            f'FLAGSHIP_EDGE_KEYS: {said}give keys, or [{{"serverKey": "…", "clientKeys": ["…"], '
            '"signingSecret": "…", "name": "…"}].'
        ) from error


class _SettingError(ValueError):
    """Its message says which part of a variable is wrong."""


_MEMBERS = frozenset({"serverKey", "clientKeys", "signingSecret", "name"})


def _environment(one: Any) -> EdgeEnvironment:
    unknown = sorted(one.keys() - _MEMBERS)
    if unknown:
        raise _SettingError(f"there is no member {unknown[0]!r}")
    client_keys = one.get("clientKeys") or []
    texts = [one["serverKey"], one.get("signingSecret") or "", one.get("name") or "", *client_keys]
    if not isinstance(client_keys, list) or not all(isinstance(text, str) for text in texts):
        raise _SettingError("clientKeys is a list of texts, and every other member is a text")
    secret = one.get("signingSecret")
    if secret == "":
        raise _SettingError("a signingSecret is empty")
    return EdgeEnvironment(
        server_key=one["serverKey"], client_keys=tuple(client_keys), signing_secret=secret, name=one.get("name") or ""
    )
