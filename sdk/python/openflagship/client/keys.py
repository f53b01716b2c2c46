"""The key that a client is made with: whether it is one, and of the right kind."""

from __future__ import annotations

import hashlib
from typing import Final

from openflagship.wire.credentials import EDGE_SCOPE

_WRONG_KINDS: Final = {
    "fs_client_": "This is a client key (fs_client_…), which may not read the rules.",
    "fs_manage_": "This is a management token (fs_manage_…), which belongs to no environment.",
    "fs_sign_": "This is a signing secret (fs_sign_…); give it as signing_secret.",
}


def is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def check_server_key(key: str | None, *, is_offline: bool) -> str:
    """The key without the space around it. Raises ValueError, which never contains the key: it ends up in logs."""
    # Keys come from files and variables, often with a newline at the end.
    if key is not None and not isinstance(key, str):
        raise ValueError("The server key must be text.")
    found = (key or "").strip()
    for prefix, problem in _WRONG_KINDS.items():
        if found.startswith(prefix):
            raise ValueError(f"{problem} Give the environment's server key (fs_server_…).")
    if found.startswith("fs_edge_") and EDGE_SCOPE not in found:
        raise ValueError("This is an edge's credential (fs_edge_…). Give the environment's server key (fs_server_…).")
    if not is_offline and not found:
        raise ValueError("Give the environment's server key, or mode='offline'.")
    if not is_plain(found):
        raise ValueError("The server key holds a character that no key has.")
    return found


def fingerprint_of(key: str) -> str:
    """A name for the key's environment that may be written down: nobody finds the key from it."""
    return hashlib.sha256(b"openflagship snapshot " + key.encode()).hexdigest()[:16] if key else ""
