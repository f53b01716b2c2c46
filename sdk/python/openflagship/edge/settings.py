"""The settings of an edge, from environment variables."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openflagship.client.stores import RedisStore, SnapshotStore


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

    `signing_secret` is that of the only environment; where there are several, each has its own. With a `credential` the
    server names the environments, and `signing_secrets` are by their names, such as `web/production`. `store_of` makes
    the shared store of what has that name, in place of files in `data_dir`.
    """

    url: str
    environments: tuple[EdgeEnvironment, ...] = ()
    credential: str | None = None
    signing_secrets: Mapping[str, str] = field(default_factory=dict)
    stream_url: str | None = None
    data_dir: Path | None = None
    origins: tuple[str, ...] = ()
    signing_secret: str | None = None
    keep_alive_seconds: float = 15.0
    # Requests a minute of one credential; 0 for any number.
    rate_limit: int = 0
    store_of: Callable[[str], SnapshotStore] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.environments and self.credential is None:
            raise ValueError("Give at least one environment's server key, or an edge credential.")
        if self.credential is not None and (self.environments or not self.credential.startswith("fs_edge_")):
            raise ValueError("FLAGSHIP_EDGE_CREDENTIAL: give an edge credential (fs_edge_…), and no keys beside it.")
        keys = [key for one in self.environments for key in (one.server_key, *one.client_keys)]
        if len(keys) != len(set(keys)) or not all(keys):
            raise ValueError("Every key must be there once, and none may be empty.")
        names = [one.name for one in self.environments if one.name]
        if len(names) != len(set(names)):
            raise ValueError("Every environment needs a name of its own.")
        if self.signing_secret == "" or "" in (one.signing_secret for one in self.environments):
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
        redis_url = environ.get("FLAGSHIP_EDGE_REDIS_URL", "")
        if data_dir and redis_url:
            raise ValueError("Set FLAGSHIP_EDGE_DATA_DIR or FLAGSHIP_EDGE_REDIS_URL, not both.")
        ca_file = environ.get("FLAGSHIP_EDGE_CA_FILE", "")
        return cls(
            url=url,
            stream_url=environ.get("FLAGSHIP_EDGE_STREAM_URL") or None,
            environments=_environments(environ.get("FLAGSHIP_EDGE_KEYS", "")),
            data_dir=Path(data_dir) if data_dir else None,
            origins=tuple(origin for origin in environ.get("FLAGSHIP_EDGE_ORIGINS", "").split(",") if origin),
            signing_secret=environ.get("FLAGSHIP_EDGE_SIGNING_SECRET") or None,
            credential=environ.get("FLAGSHIP_EDGE_CREDENTIAL", "").strip() or None,
            signing_secrets=_secrets(environ.get("FLAGSHIP_EDGE_SIGNING_SECRETS", "")),
            store_of=_redis_stores(redis_url) if redis_url else None,
            options={"ca_file": ca_file} if ca_file else {},
            rate_limit=_rate_limit(environ.get("FLAGSHIP_EDGE_RATE_LIMIT", "0")),
        )


def _secrets(text: str) -> Mapping[str, str]:
    """`{"web/production": "fs_sign_…"}`."""
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(secret, str) and secret for secret in found.values()):
        raise ValueError('FLAGSHIP_EDGE_SIGNING_SECRETS: give {"<project>/<environment>": "fs_sign_…"}.')
    return found


def _redis_stores(url: str) -> Callable[[str], SnapshotStore]:
    try:
        import redis  # noqa: PLC0415 - only where it is asked for
    except ImportError as error:
        raise ValueError(
            'FLAGSHIP_EDGE_REDIS_URL needs the package redis: pip install "openflagship[redis]".'
        ) from error
    try:
        client = redis.Redis.from_url(url, socket_timeout=5.0, socket_connect_timeout=5.0)
    except ValueError as error:
        raise ValueError(f"FLAGSHIP_EDGE_REDIS_URL: {error}") from error
    return lambda name: RedisStore(client, f"openflagship:edge:{name}")


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
