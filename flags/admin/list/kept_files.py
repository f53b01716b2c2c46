"""The file of an import, between the page that says what it changes and the import: the last one of each person."""

import hashlib
import zlib
from typing import Final

from django.core.cache import cache

from tenancy.models import Environment, User

KEPT_SECONDS: Final = 3_600


def keep_file(user: User, environment: Environment, content: bytes) -> str:
    """Return the fingerprint by which exactly this file is found again. Raises RedisError."""
    fingerprint = hashlib.sha256(content).hexdigest()
    cache.set(_name(user), (environment.pk, fingerprint, zlib.compress(content)), KEPT_SECONDS)
    return fingerprint


def kept_file(user: User, environment: Environment, fingerprint: str) -> bytes | None:
    """Return the file; None where it is gone, or another one was kept since. Raises RedisError."""
    found: tuple[int, str, bytes] | None = cache.get(_name(user))
    return zlib.decompress(found[2]) if found is not None and found[:2] == (environment.pk, fingerprint) else None


def forget_file(user: User) -> None:
    """Raises RedisError."""
    cache.delete(_name(user))


def _name(user: User) -> str:
    return f"console:import:{user.pk}"
