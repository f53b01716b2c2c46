"""Wrong passwords and secrets are counted in Redis per name and per address, so that nobody can go on guessing."""

from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from redis.exceptions import RedisError

from tenancy.addresses import address_of
from tenancy.errors import RateLimited

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Attempts:
    """Those of one name from one address. Without Redis nobody is counted: an outage must not lock everybody out."""

    keys: tuple[str, ...]

    @classmethod
    def of(cls, request: HttpRequest | Any, name: str) -> "Attempts":
        return cls((f"login:name:{name.lower()}", f"login:address:{address_of(request.META)}"))

    def refuse_if_too_many(self) -> None:
        """Raises RateLimited."""
        try:
            counts = cache.get_many(self.keys)
        except RedisError as error:
            log.warning("login_attempts_not_counted", error=type(error).__name__)
            return
        limits = (settings.LOGIN_ATTEMPTS, settings.LOGIN_ATTEMPTS * 5)
        if any(counts.get(key, 0) >= limit for key, limit in zip(self.keys, limits, strict=True)):
            raise RateLimited(
                "Too many wrong attempts; wait before the next one.",
                retry_after_seconds=int(settings.LOGIN_LOCKOUT_SECONDS),
            )

    def failed(self) -> None:
        try:
            for key in self.keys:
                cache.add(key, 0, timeout=settings.LOGIN_LOCKOUT_SECONDS)
                cache.incr(key)
        except (RedisError, ValueError) as error:
            # ValueError: the key ran out between the two lines, and with it the count.
            log.warning("login_attempts_not_counted", error=type(error).__name__)

    def succeeded(self) -> None:
        """Forget the name's wrong attempts; the address keeps its own, which other names may have added to."""
        try:
            cache.delete(self.keys[0])
        except RedisError as error:
            log.warning("login_attempts_not_counted", error=type(error).__name__)
