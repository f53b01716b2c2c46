"""What is left of an act on many flags, between its requests: who loads the page again sees it, and repeats nothing."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

from django.core.cache import cache

from tenancy.models import Environment, User

KEPT_SECONDS: Final = 3_600


def keep_run(user: User, place: Environment, sent: Mapping[str, Any]) -> str:
    """Keep what the page's form carries, under the name that it has or a new one; return that. Raises RedisError."""
    name = sent["run"] or uuid4().hex
    cache.set(_key(user, name), (place.pk, {**sent, "run": name}), KEPT_SECONDS)
    return name


def kept_run(user: User, name: str) -> tuple[int, dict[str, Any]] | None:
    """Return the environment's id and what the form carries; None where it is over for long. Raises RedisError."""
    found: tuple[int, dict[str, Any]] | None = cache.get(_key(user, name))
    return found


def _key(user: User, name: str) -> str:
    return f"console:run:{user.pk}:{name}"
