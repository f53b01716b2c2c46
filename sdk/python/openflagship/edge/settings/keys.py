"""The environments of an edge by their keys, and the keys of `FLAGSHIP_EDGE_KEYS`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from openflagship.client.keys import check_server_key
from openflagship.wire.credentials import EDGE_SCOPE

KEYS: Final = "FLAGSHIP_EDGE_KEYS"
_FORM: Final = 'give keys, by commas, or [{"serverKey": "…", "clientKeys": ["…"], "signingSecret": "…", "name": "…"}].'
_MEMBERS: Final = frozenset({"serverKey", "clientKeys", "signingSecret", "name", "snapshot"})
# What parts keys, or is around them, in other formats. No key has any of it.
_FOREIGN: Final = frozenset(" \t\r\n;|\"'{}[]")
_NO_CALLERS: Final = ("fs_manage_", "fs_sign_", "fs_edge_")


@dataclass(frozen=True, kw_only=True, slots=True)
class EdgeEnvironment:
    """One environment: its server key, and the client keys that this edge accepts.

    `name` is what people see of it, in metrics and in `/readyz`. With a `signing_secret` only signed snapshots are
    taken, and those served are signed. `snapshot`: the signed file of an edge that is offline.
    """

    server_key: str = field(repr=False)
    client_keys: tuple[str, ...] = field(default=(), repr=False)
    signing_secret: str | None = field(default=None, repr=False)
    name: str = ""
    snapshot: Path | None = None


def environments_of(text: str) -> tuple[EdgeEnvironment, ...]:
    """`fs_server_a` or `fs_server_a,fs_server_b`, or JSON: a list of objects such as `{"serverKey": …}`.

    Raises ValueError, which names the variable and contains no key.
    """
    try:
        if not text.lstrip().startswith(("[", "{")):
            return tuple(EdgeEnvironment(server_key=_server_key(key)) for key in text.split(",") if key.strip())
        found = json.loads(text)
        if not isinstance(found, list):
            raise _SettingError("an object stands in a list")
        return tuple(_environment(one) for one in found)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        said = f"{error}; " if isinstance(error, _SettingError) else ""
        raise ValueError(f"{KEYS}: {said}{_FORM}") from error


class _SettingError(ValueError):
    """Its message says which part of the variable is wrong."""


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
    if secret is not None and not secret.strip():
        raise _SettingError("a signingSecret is empty")
    return EdgeEnvironment(
        server_key=_server_key(one["serverKey"]),
        client_keys=tuple(_client_key(key) for key in client_keys),
        signing_secret=secret,
        name=one.get("name") or "",
        snapshot=Path(one["snapshot"]) if one.get("snapshot") else None,
    )


def _server_key(text: str) -> str:
    if not text.strip():
        raise _SettingError("a serverKey is empty")
    if text.strip().startswith("fs_edge_") and EDGE_SCOPE not in text:
        raise _SettingError("an edge credential (fs_edge_…) stands in FLAGSHIP_EDGE_CREDENTIAL")
    try:
        return _plain(check_server_key(text, is_offline=False))
    except ValueError as error:
        raise _SettingError(str(error).rstrip(".")) from error


def _client_key(text: str) -> str:
    key = _plain(text.strip())
    kind = next((kind for kind in _NO_CALLERS if key.startswith(kind)), None)
    if kind is not None or not key:
        raise _SettingError(f"{kind}… is no client key (fs_client_…)" if kind else "a client key is empty")
    return key


def _plain(key: str) -> str:
    if _FOREIGN.intersection(key):
        raise _SettingError("a key has a space, a quotation mark, a bracket or a semicolon in it")
    return key
