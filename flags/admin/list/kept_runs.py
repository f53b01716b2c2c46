"""What is left of an act on many flags, between its requests: who loads the page again sees it, and repeats nothing."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

from django.core.cache import cache

from tenancy.models import Environment, User

KEPT_SECONDS: Final = 3_600


def keep_run(user: User, act: str, place: Environment, sent: Mapping[str, Any]) -> str:
    """Keep what the page's form carries, under the name that it has or a new one; return that. Raises RedisError."""
    name = sent["run"] or uuid4().hex
    cache.set(_key(user, name), (act, place.pk, {**sent, "run": name}), KEPT_SECONDS)
    return name


def kept_run(user: User, act: str, name: str) -> tuple[int, dict[str, Any]] | None:
    """Return the environment's id and what the form carries; None where it is over for long. Raises RedisError."""
    found: tuple[str, int, dict[str, Any]] | None = cache.get(_key(user, name))
    return found[1:] if found is not None and found[0] == act else None


def may_go_on(user: User, name: str) -> None:
    """Let the page go on by itself that is loaded next. Raises RedisError."""
    cache.set(f"{_key(user, name)}:goes-on", 1, KEPT_SECONDS)


def goes_on(user: User, name: str) -> bool:
    """Whether the page goes on by itself: once. Later the address is only looked at. Raises RedisError."""
    return cache.delete(f"{_key(user, name)}:goes-on")


def _key(user: User, name: str) -> str:
    return f"console:run:{user.pk}:{name}"
