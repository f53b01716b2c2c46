"""Counts wrong passwords and secrets in Redis, per name and per address, to stop guessing."""

from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from redis.exceptions import RedisError

from audit.actors import Actor
from tenancy.callers.addresses import address_of
from tenancy.callers.request_ids import request_id_of
from tenancy.errors import RateLimited
from tenancy.services import record_lock_out

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Attempts:
    """Wrong attempts of one name from one address. Without Redis nothing is counted: an outage must lock nobody out."""

    name: str
    address: str
    request_id: str

    @classmethod
    def of(cls, request: HttpRequest | Any, name: str) -> "Attempts":
        return cls(name.lower(), address_of(request.META), request_id_of(request))

    @property
    def keys(self) -> tuple[str, str]:
        return f"login:name:{self.name}", f"login:address:{self.address}"

    def refuse_if_too_many(self) -> None:
        """Raise RateLimited after too many wrong attempts."""
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
        """Count a wrong attempt. The attempt that locks the name out is audited, so each lock-out has one row."""
        try:
            for key in self.keys:
                cache.add(key, 0, timeout=settings.LOGIN_LOCKOUT_SECONDS)
            of_name, _ = (cache.incr(key) for key in self.keys)
        except (RedisError, ValueError) as error:
            # ValueError: the key expired between the two commands, and its count with it.
            log.warning("login_attempts_not_counted", error=type(error).__name__)
            return
        if of_name == settings.LOGIN_ATTEMPTS:
            door = Actor("system", "sign-in", "system (sign-in)", request_id=self.request_id)
            record_lock_out(actor=door, name=self.name, attempts=of_name, address=self.address)

    def succeeded(self) -> None:
        """Forget the name's wrong attempts. The address keeps its count, because other names may have added to it."""
        try:
            cache.delete(self.keys[0])
        except RedisError as error:
            log.warning("login_attempts_not_counted", error=type(error).__name__)
