"""Makes, hashes and compares secrets of the form `fs_<kind>_<8 characters for look-up><43 random characters>`.

An edge credential is sent as it is for the edge's own configuration, and with `~<project>/<environment>` behind it for
what belongs to one of its environments.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

_FORM = re.compile(r"fs_(server|client|manage|edge)_([A-Za-z0-9]{8})[A-Za-z0-9_-]{43}\Z")


_ANYWHERE = re.compile(r"(fs_[a-z]+_[A-Za-z0-9]{8})[A-Za-z0-9_-]{16,}")


@dataclass(frozen=True, slots=True)
class Secret:
    """A new secret: `text` is shown once, `prefix` and `digest` are stored."""

    text: str
    prefix: str
    digest: bytes


def generate(kind: str) -> Secret:
    look_up = "".join(secrets.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(8))
    prefix = f"fs_{kind}_{look_up}"
    text = prefix + secrets.token_urlsafe(32)
    return Secret(text=text, prefix=prefix, digest=digest(text))


def prefix_of(text: str) -> str | None:
    """Return the public prefix of a text that has the form of a secret, else None."""
    match = _FORM.match(text)
    return f"fs_{match[1]}_{match[2]}" if match else None


def masked(text: str) -> str:
    """A text without the secret part of whatever secrets stand in it: the addresses of triggers hold one."""
    return _ANYWHERE.sub(r"\1…", text)


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def matches(text: str, stored: bytes) -> bool:
    """Compare a secret with a stored digest, in constant time."""
    return hmac.compare_digest(digest(text), stored)
