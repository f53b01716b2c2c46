"""The settings of an edge, from environment variables."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from openflagship.client.following.configuration import SnapshotError
from openflagship.client.keys import fingerprint_of
from openflagship.client.options import Options
from openflagship.client.snapshots.copies import read_copy
from openflagship.client.snapshots.published import PublishedSnapshot
from openflagship.client.snapshots.stores import SnapshotStore
from openflagship.client.transport.proxies import is_local
from openflagship.client.transport.tls import tls_of
from openflagship.edge.grpc.settings import GrpcSettings
from openflagship.edge.settings import variables
from openflagship.edge.settings.keys import KEYS, EdgeEnvironment, environments_of
from openflagship.serving.descriptors import MOST_CONNECTIONS

# The address of an edge without a server. Nothing connects to it; the name is one that never exists.
NO_SERVER: Final = "http://offline.invalid"
_NAME: Final = "{name}"
_SNAPSHOT_URL: Final = "FLAGSHIP_EDGE_SNAPSHOT_URL"
_CREDENTIAL: Final = re.compile(r"fs_edge_[A-Za-z0-9_-]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class EdgeSettings:
    """`data_dir` holds snapshots for a start without the server. `options` are those of the client.

    `signing_secret` is that of the only environment; where there are several, each has its own. With a `credential` the
    server names the environments, and `signing_secrets` are by their names, such as `web/production`. `store_of` makes
    the shared store of what has that name, in place of files in `data_dir`. One that `is_offline` serves signed files,
    and connects to nobody.
    """

    url: str = field(repr=False)
    environments: tuple[EdgeEnvironment, ...] = ()
    credential: str | None = field(default=None, repr=False)
    signing_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    stream_url: str | None = field(default=None, repr=False)
    data_dir: Path | None = None
    origins: tuple[str, ...] = ()
    # Where the platform publishes snapshots in object storage; `{name}` stands for the environment's name.
    snapshot_url: str | None = field(default=None, repr=False)
    signing_secret: str | None = field(default=None, repr=False)
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
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.environments and self.credential is None:
            raise ValueError(f"{KEYS}: give at least one environment's server key, or FLAGSHIP_EDGE_CREDENTIAL.")
        if self.credential is not None and (self.environments or not _CREDENTIAL.fullmatch(self.credential)):
            raise ValueError("FLAGSHIP_EDGE_CREDENTIAL: give an edge credential (fs_edge_…), and no keys beside it.")
        keys = [key for one in self.environments for key in (one.server_key, *one.client_keys)]
        if len(keys) != len(set(keys)) or not all(keys):
            raise ValueError(f"{KEYS}: every key must be there once, and none may be empty.")
        names = [one.name for one in self.environments if one.name]
        if len(names) != len(set(names)):
            raise ValueError(f"{KEYS}: every environment needs a name of its own.")
        self._check_secrets()
        self._check_published()
        if self.is_offline:
            self._check_offline()
        elif any(one.snapshot for one in self.environments):
            raise ValueError(
                f"{KEYS}: a snapshot's file is for FLAGSHIP_EDGE_OFFLINE=1; set that, or leave the file out."
            )

    def _check_secrets(self) -> None:
        """Refuse a secret that would be passed over: its environment's snapshots would be taken unsigned."""
        given = [
            *self.signing_secrets.values(),
            self.signing_secret,
            *(one.signing_secret for one in self.environments),
        ]
        if not all(secret is None or secret.strip() for secret in given):
            raise ValueError(
                "FLAGSHIP_EDGE_SIGNING_SECRET: a signing secret is empty; leave it out to take unsigned snapshots."
            )
        if self.signing_secrets and self.credential is None:
            raise ValueError(
                "FLAGSHIP_EDGE_SIGNING_SECRETS is for FLAGSHIP_EDGE_CREDENTIAL. Leave it out, and give the secrets in "
                f'{KEYS}: [{{"serverKey": "…", "signingSecret": "…"}}].'
            )
        if self.signing_secret is None:
            return
        if self.credential is not None:
            raise ValueError(
                "FLAGSHIP_EDGE_SIGNING_SECRET: the server signs each environment of a credential with a secret of its "
                'own. Leave it out, and give FLAGSHIP_EDGE_SIGNING_SECRETS: {"<project>/<environment>": "fs_sign_…"}.'
            )
        if len(self.environments) > 1 or self.environments[0].signing_secret not in {None, self.signing_secret}:
            raise ValueError(
                "FLAGSHIP_EDGE_SIGNING_SECRET: the server signs each environment with a secret of its own. Leave it "
                f'out, and give them in {KEYS}: [{{"serverKey": "…", "signingSecret": "…"}}].'
            )

    def _check_published(self) -> None:
        """Refuse an address under which one environment would begin as another, and one that anybody may alter."""
        if self.snapshot_url is None:
            return
        if self.is_offline:
            raise ValueError(f"{_SNAPSHOT_URL}: an edge that is offline asks nobody; leave it out.")
        is_one = len(self.environments) == 1 and self.credential is None
        if _NAME not in self.snapshot_url and not is_one:
            raise ValueError(
                f"{_SNAPSHOT_URL}: this edge serves several environments. Write {{name}} for the environment's "
                "name, as https://bucket.example.com/acme/{name}.json."
            )
        if _NAME in self.snapshot_url and not all(one.name for one in self.environments):
            raise ValueError(f"{_SNAPSHOT_URL} has {{name}}: give each environment of {KEYS} one.")
        # Those of a credential are not known yet; one without a secret is read over TLS only, below.
        are_signed = [self.secret_of(one) is not None for one in self.environments] or [bool(self.signing_secrets)]
        with variables.naming(_SNAPSHOT_URL):
            PublishedSnapshot(self.snapshot_url, None, None, is_signed=all(are_signed))

    def snapshot_url_of(self, environment: EdgeEnvironment) -> str | None:
        """None where the environment's snapshot could be altered on its way."""
        if self.snapshot_url is None:
            return None
        parts = urlsplit(self.snapshot_url)
        is_safe = parts.scheme == "https" or is_local(parts.hostname or "")
        if not is_safe and self.secret_of(environment) is None:
            return None
        return self.snapshot_url.replace(_NAME, environment.name)

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
        url = variables.address(environ, "FLAGSHIP_EDGE_URL")
        is_offline = variables.is_on(environ, "FLAGSHIP_EDGE_OFFLINE")
        if is_offline and url:
            raise ValueError("FLAGSHIP_EDGE_OFFLINE: leave FLAGSHIP_EDGE_URL out; an edge that is offline asks nobody.")
        if not url and not is_offline:
            raise ValueError("Set FLAGSHIP_EDGE_URL to the server's address.")
        data_dir = environ.get("FLAGSHIP_EDGE_DATA_DIR", "")
        redis_url = environ.get("FLAGSHIP_EDGE_REDIS_URL", "")
        if data_dir and redis_url:
            raise ValueError("Set FLAGSHIP_EDGE_DATA_DIR or FLAGSHIP_EDGE_REDIS_URL, not both.")
        return cls(
            url=url or NO_SERVER,
            is_offline=is_offline,
            grpc=GrpcSettings.from_environ(environ),
            stream_url=variables.address(environ, "FLAGSHIP_EDGE_STREAM_URL") or None,
            environments=environments_of(environ.get(KEYS, "")),
            data_dir=Path(data_dir) if data_dir else None,
            snapshot_url=environ.get(_SNAPSHOT_URL, "").strip() or None,
            origins=variables.origins(environ.get("FLAGSHIP_EDGE_ORIGINS", "")),
            signing_secret=environ.get("FLAGSHIP_EDGE_SIGNING_SECRET") or None,
            credential=environ.get("FLAGSHIP_EDGE_CREDENTIAL", "").strip() or None,
            signing_secrets=variables.signing_secrets(environ.get("FLAGSHIP_EDGE_SIGNING_SECRETS", "")),
            store_of=variables.redis_stores(redis_url) if redis_url else None,
            options=_options(environ),
            rate_limit=variables.number(environ, "FLAGSHIP_EDGE_RATE_LIMIT", "the requests a minute of one key"),
            most_connections=variables.number(environ, "FLAGSHIP_EDGE_MAX_CONNECTIONS", "the most open connections")
            or MOST_CONNECTIONS,
            most_streams=variables.number(environ, "FLAGSHIP_EDGE_MAX_STREAMS", "the most streams in all"),
            most_streams_per_key=variables.number(
                environ, "FLAGSHIP_EDGE_MAX_STREAMS_PER_KEY", "the most streams of one key"
            ),
            most_body_bytes=variables.number(environ, "FLAGSHIP_EDGE_MAX_BODY_BYTES", "the largest body in bytes"),
        )


def _options(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """Those of the client that are variables, checked as the client does."""
    found: dict[str, Any] = {}
    ca_file = environ.get("FLAGSHIP_EDGE_CA_FILE", "")
    if ca_file:
        with variables.naming("FLAGSHIP_EDGE_CA_FILE"):
            tls_of(ca_file)
        found["ca_file"] = ca_file
    name = "FLAGSHIP_EDGE_STALE_AFTER_SECONDS"
    stale_after = variables.number(environ, name, "a whole number of seconds")
    if stale_after:
        found["stale_after_seconds"] = float(stale_after)
        with variables.naming(name):
            Options(**found)
    return found
