"""The settings of an edge, from environment variables."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from openflagship.client.following.configuration import SnapshotError
from openflagship.client.keys import fingerprint_of
from openflagship.client.snapshots.copies import read_copy
from openflagship.client.snapshots.stores import RedisStore, SnapshotStore
from openflagship.edge.grpc.settings import GrpcSettings
from openflagship.serving.descriptors import MOST_CONNECTIONS

# The address of an edge without a server. Nothing connects to it; the name is one that never exists.
NO_SERVER: Final = "http://offline.invalid"
_NAME: Final = "{name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class EdgeEnvironment:
    """One environment: its server key, and the client keys that this edge accepts.

    `name` is what people see of it, in metrics and in `/readyz`. With a `signing_secret` only signed snapshots are
    taken, and those served are signed. `snapshot`: the signed file of an edge that is offline.
    """

    server_key: str
    client_keys: tuple[str, ...] = ()
    signing_secret: str | None = None
    name: str = ""
    snapshot: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EdgeSettings:
    """`data_dir` holds snapshots for a start without the server. `options` are those of the client.

    `signing_secret` is that of the only environment; where there are several, each has its own. With a `credential` the
    server names the environments, and `signing_secrets` are by their names, such as `web/production`. `store_of` makes
    the shared store of what has that name, in place of files in `data_dir`. One that `is_offline` serves signed files,
    and connects to nobody.
    """

    url: str
    environments: tuple[EdgeEnvironment, ...] = ()
    credential: str | None = None
    signing_secrets: Mapping[str, str] = field(default_factory=dict)
    stream_url: str | None = None
    data_dir: Path | None = None
    origins: tuple[str, ...] = ()
    # Where the platform publishes snapshots in object storage; `{name}` stands for the environment's name.
    snapshot_url: str | None = None
    signing_secret: str | None = None
    keep_alive_seconds: float = 15.0
    # Requests a minute of one credential; 0 for any number.
    rate_limit: int = 0
    most_connections: int = MOST_CONNECTIONS
    # Of this process; 0 for any number, and for the most that the server takes.
    most_streams: int = 0
    most_streams_per_key: int = 0
    most_body_bytes: int = 0
    is_offline: bool = False
    grpc: GrpcSettings = field(default_factory=GrpcSettings)
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
        self._check_published()
        if self.is_offline:
            self._check_offline()
        elif any(one.snapshot for one in self.environments):
            raise ValueError("A snapshot's file is for FLAGSHIP_EDGE_OFFLINE=1; set that, or leave the file out.")
        if self.signing_secret == "" or "" in (one.signing_secret for one in self.environments):
            raise ValueError("A signing secret is empty; leave it out to take unsigned snapshots.")
        if self.signing_secret is not None and len(self.environments) > 1:
            raise ValueError(
                "The server signs each environment with a secret of its own. Leave FLAGSHIP_EDGE_SIGNING_SECRET out, "
                'and give them in FLAGSHIP_EDGE_KEYS: [{"serverKey": "…", "signingSecret": "…"}].'
            )

    def _check_published(self) -> None:
        """Refuse an address under which one environment would begin as another."""
        if self.snapshot_url is None:
            return
        if self.is_offline:
            raise ValueError("FLAGSHIP_EDGE_SNAPSHOT_URL: an edge that is offline asks nobody; leave it out.")
        is_one = len(self.environments) == 1 and self.credential is None
        if _NAME not in self.snapshot_url and not is_one:
            raise ValueError(
                "FLAGSHIP_EDGE_SNAPSHOT_URL: this edge serves several environments. Write {name} for the environment's "
                "name, as https://bucket.example.com/acme/{name}.json."
            )
        if _NAME in self.snapshot_url and not all(one.name for one in self.environments):
            raise ValueError("FLAGSHIP_EDGE_SNAPSHOT_URL has {name}: give each environment of FLAGSHIP_EDGE_KEYS one.")

    def snapshot_url_of(self, environment: EdgeEnvironment) -> str | None:
        return self.snapshot_url.replace(_NAME, environment.name) if self.snapshot_url is not None else None

    def _check_offline(self) -> None:
        """Refuse a file that is not there, was altered, or was signed by another."""
        if self.credential is not None:
            raise ValueError("FLAGSHIP_EDGE_OFFLINE: a credential is for a server; give FLAGSHIP_EDGE_KEYS.")
        for number, one in enumerate(self.environments, 1):
            secret, which = self.secret_of(one), one.name or str(number)
            if one.snapshot is None or secret is None:
                raise ValueError(
                    f"FLAGSHIP_EDGE_OFFLINE: environment {which} needs a snapshot (a file) and a signingSecret."
                )
            try:
                read_copy(one.snapshot.read_bytes(), secret, fingerprint_of(one.server_key))
            except (OSError, SnapshotError) as error:
                raise ValueError(f"FLAGSHIP_EDGE_OFFLINE: {one.snapshot} is not served: {error}") from error

    def secret_of(self, environment: EdgeEnvironment) -> str | None:
        return environment.signing_secret or self.signing_secret

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> EdgeSettings:
        """Raises ValueError naming the variable."""
        url = environ.get("FLAGSHIP_EDGE_URL", "")
        is_offline = _is_on(environ, "FLAGSHIP_EDGE_OFFLINE")
        if is_offline and url:
            raise ValueError("FLAGSHIP_EDGE_OFFLINE: leave FLAGSHIP_EDGE_URL out; an edge that is offline asks nobody.")
        if not url and not is_offline:
            raise ValueError("Set FLAGSHIP_EDGE_URL to the server's address.")
        data_dir = environ.get("FLAGSHIP_EDGE_DATA_DIR", "")
        redis_url = environ.get("FLAGSHIP_EDGE_REDIS_URL", "")
        if data_dir and redis_url:
            raise ValueError("Set FLAGSHIP_EDGE_DATA_DIR or FLAGSHIP_EDGE_REDIS_URL, not both.")
        stale_after = _number(environ, "FLAGSHIP_EDGE_STALE_AFTER_SECONDS", "a whole number of seconds")
        ca_file = environ.get("FLAGSHIP_EDGE_CA_FILE", "")
        return cls(
            url=url or NO_SERVER,
            is_offline=is_offline,
            grpc=GrpcSettings.from_environ(environ),
            stream_url=environ.get("FLAGSHIP_EDGE_STREAM_URL") or None,
            environments=_environments(environ.get("FLAGSHIP_EDGE_KEYS", "")),
            data_dir=Path(data_dir) if data_dir else None,
            snapshot_url=environ.get("FLAGSHIP_EDGE_SNAPSHOT_URL") or None,
            origins=tuple(origin for origin in environ.get("FLAGSHIP_EDGE_ORIGINS", "").split(",") if origin),
            signing_secret=environ.get("FLAGSHIP_EDGE_SIGNING_SECRET") or None,
            credential=environ.get("FLAGSHIP_EDGE_CREDENTIAL", "").strip() or None,
            signing_secrets=_secrets(environ.get("FLAGSHIP_EDGE_SIGNING_SECRETS", "")),
            store_of=_redis_stores(redis_url) if redis_url else None,
            options={
                **({"ca_file": ca_file} if ca_file else {}),
                **({"stale_after_seconds": float(stale_after)} if stale_after else {}),
            },
            rate_limit=_number(environ, "FLAGSHIP_EDGE_RATE_LIMIT", "the requests a minute of one key"),
            most_connections=_number(environ, "FLAGSHIP_EDGE_MAX_CONNECTIONS", "the most open connections")
            or MOST_CONNECTIONS,
            most_streams=_number(environ, "FLAGSHIP_EDGE_MAX_STREAMS", "the most streams in all"),
            most_streams_per_key=_number(environ, "FLAGSHIP_EDGE_MAX_STREAMS_PER_KEY", "the most streams of one key"),
            most_body_bytes=_number(environ, "FLAGSHIP_EDGE_MAX_BODY_BYTES", "the largest body in bytes"),
        )


def _is_on(environ: Mapping[str, str], name: str) -> bool:
    text = environ.get(name) or "0"
    if text not in {"0", "1"}:
        raise ValueError(f"{name}: give 1, or 0 for off.")
    return text == "1"


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
            "FLAGSHIP_EDGE_REDIS_URL needs the package redis: pip install './sdk/python[redis]' in a checkout."
        ) from error
    try:
        client = redis.Redis.from_url(url, socket_timeout=5.0, socket_connect_timeout=5.0)
    except ValueError as error:
        raise ValueError(f"FLAGSHIP_EDGE_REDIS_URL: {error}") from error
    return lambda name: RedisStore(client, f"openflagship:edge:{name}")


def _number(environ: Mapping[str, str], name: str, what: str) -> int:
    text = environ.get(name) or "0"
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{name}: give {what}, or 0 for the default.")
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


_MEMBERS = frozenset({"serverKey", "clientKeys", "signingSecret", "name", "snapshot"})


def _environment(one: Any) -> EdgeEnvironment:
    unknown = sorted(one.keys() - _MEMBERS)
    if unknown:
        raise _SettingError(f"there is no member {unknown[0]!r}")
    client_keys = one.get("clientKeys") or []
    texts = [
        one["serverKey"],
        one.get("signingSecret") or "",
        one.get("name") or "",
        one.get("snapshot") or "",
        *client_keys,
    ]
    if not isinstance(client_keys, list) or not all(isinstance(text, str) for text in texts):
        raise _SettingError("clientKeys is a list of texts, and every other member is a text")
    secret = one.get("signingSecret")
    if secret == "":
        raise _SettingError("a signingSecret is empty")
    return EdgeEnvironment(
        server_key=one["serverKey"],
        client_keys=tuple(client_keys),
        signing_secret=secret,
        name=one.get("name") or "",
        snapshot=Path(one["snapshot"]) if one.get("snapshot") else None,
    )
