"""Who may call an edge: the keys it was given, and those that the server told it of, by their digests."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from openflagship.edge.metrics import Series
from openflagship.edge.settings.keys import EdgeEnvironment
from openflagship.edge.source import Source, name_of
from openflagship.wire.asgi import AsgiRequest
from openflagship.wire.credentials import (
    EDGE_SCOPE,
    EdgeConfiguration,
    EdgeKey,
    FurtherEdge,
    presented_secret,
    unauthenticated,
)

_PREFIX: Final = re.compile(r"fs_(?:server|client|edge)_[A-Za-z0-9]{8}")
# Each is a header of a live key. There are few ways to write one, so this is more than are ever there.
_MOST_HEADERS: Final = 50_000


@dataclass(slots=True)
class Caller:
    """A key that this edge takes. `name` is public. `series` counts its requests, once there was one.

    The credential of a further edge has `edge`, and no `source` unless it names one environment.
    """

    name: str
    source: Source | None
    reads_rules: bool
    expires_at: float | None = None
    edge: FurtherEdge | None = None
    series: Series | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class _Told:
    """A key that the server told of; a further edge has no source of its own."""

    digest: bytes
    key: EdgeKey
    source: Source | None
    edge: FurtherEdge | None = None


class Callers:
    """Looks a request's credential up. The usual header takes one look-up in a dict."""

    def __init__(self) -> None:
        self._given: dict[str, Caller] = {}
        self._told: dict[str, _Told] = {}
        self._sources: Mapping[str, Source] = {}
        # By the whole Authorization header. It starts empty with each new set of keys.
        self._by_header: dict[bytes, Caller] = {}

    def give(self, environment: EdgeEnvironment, source: Source) -> None:
        """Take the keys that stand in the edge's own settings."""
        keys = [(environment.server_key, True), *((key, False) for key in environment.client_keys)]
        self._given |= {key: Caller(_public(key), source, reads_rules) for key, reads_rules in keys}
        self._by_header = {}

    def tell(self, configuration: EdgeConfiguration, sources: Mapping[str, Source]) -> None:
        """Take the keys that the server names, and no others that it named before."""
        told: dict[str, _Told] = {}
        for environment in configuration["environments"]:
            for key in environment["keys"]:
                told[key["prefix"]] = _Told(bytes.fromhex(key["digest"]), key, sources[environment["name"]])
        for edge in configuration["edges"]:
            told[edge["prefix"]] = _Told(bytes.fromhex(edge["digest"]), edge, None, edge)
        self._told, self._sources, self._by_header = told, sources, {}

    def further_edge(self, prefix: str) -> FurtherEdge | None:
        """The edge with this credential as it is now; None once it is revoked or has expired."""
        found = self._told.get(prefix)
        return None if found is None or _is_over(found.key["expiresAt"]) else found.edge

    def is_live(self, caller: Caller) -> bool:
        """Whether a caller that was found earlier may still call."""
        if caller.name not in self._told:
            return caller in self._given.values()
        told = self._told[caller.name]
        if _is_over(told.key["expiresAt"]):
            return False
        if told.edge is None:
            return caller.source is told.source
        return caller.source is None or caller.source.name in told.edge["environments"]

    def named(self, name: str, source: Source) -> Caller | None:
        """The caller of the environment with this public name; None for one that may not call, or no longer."""
        told = self._told.get(name)
        if told is None:
            return next((one for one in self._given.values() if one.name == name and one.source is source), None)
        found = Caller(name, source, reads_rules=False, expires_at=told.key["expiresAt"], edge=told.edge)
        return found if self.is_live(found) else None

    def find(self, request: AsgiRequest) -> Caller:
        """The caller of a request. Raises RefusedError."""
        header = request.headers.get(b"authorization", b"")
        found = self._by_header.get(header)
        if found is None:
            secret = presented_secret(request.header(b"authorization"), request.header(b"x-api-key"))
            found = self._look_up(secret or "")
            if found is None:
                raise unauthenticated(secret)
            # A key in the other header, beside one that is none, is looked for each time.
            if secret and header.endswith(secret.encode("latin-1")) and len(self._by_header) < _MOST_HEADERS:
                self._by_header[header] = found
        if found.expires_at is not None and _is_over(found.expires_at):
            raise unauthenticated(found.name)
        return found

    def _look_up(self, secret: str) -> Caller | None:
        given = self._given.get(secret)
        if given is not None:
            return given
        plain, scope_mark, scope = secret.partition(EDGE_SCOPE)
        match = _PREFIX.match(plain)
        told = self._told.get(match[0]) if match else None
        if told is None or not hmac.compare_digest(hashlib.sha256(plain.encode()).digest(), told.digest):
            return None
        name, expires_at = told.key["prefix"], told.key["expiresAt"]
        if told.edge is None:
            return None if scope_mark else Caller(name, told.source, told.key["kind"] == "server", expires_at)
        if not scope_mark:
            return Caller(name, None, reads_rules=False, expires_at=expires_at, edge=told.edge)
        if scope not in told.edge["environments"] or scope not in self._sources:
            return None
        return Caller(name, self._sources[scope], reads_rules=True, expires_at=expires_at, edge=told.edge)


def _public(key: str) -> str:
    match = _PREFIX.match(key)
    return match[0] if match and len(key) > len(match[0]) else name_of(key)


def _is_over(expires_at: float | None) -> bool:
    return expires_at is not None and expires_at <= time.time()
