"""Flags whose users are not in the shares of their flag, as the last night's look found them."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from django.core.cache import cache
from redis.exceptions import RedisError

# A variant that has so much more or fewer users than it should.
WARNED_SHARE: Final = 0.05
# One night may be missed.
_KEPT_SECONDS: Final = 2 * 86_400


def keep_deviations(environment_id: int, found: Mapping[str, float]) -> None:
    """Keep the largest deviation of each flag, as a share of the users it should have. Raises RedisError."""
    cache.set(_name(environment_id), dict(found), _KEPT_SECONDS)


def deviations(environment_id: int) -> dict[str, float]:
    """The flags found last, with their deviations; none while Redis is away."""
    with suppress(RedisError):
        return cache.get(_name(environment_id)) or {}
    return {}


def _name(environment_id: int) -> str:
    return f"flags:deviations:{environment_id}"
