"""Counts wrong passwords and secrets in Redis, per name and per address, to stop guessing.

A lock-out is no weapon: a browser and an address that have signed in before have a count of their own. So whoever
guesses from elsewhere locks the name for everywhere else, and not for its owner.
"""

import hashlib
import unicodedata
from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from redis.exceptions import RedisError

from audit.actors import Actor
from tenancy.authentication.devices import KNOWN_SECONDS, device_of
from tenancy.callers.addresses import address_of
from tenancy.callers.request_ids import request_id_of
from tenancy.errors import RateLimited
from tenancy.services import record_lock_out

log = structlog.get_logger(__name__)

_MOST_NAME_CHARACTERS = 150


def normalised(name: str) -> str:
    """A name as names are compared: ｏｌｇａ, OLGA and olga are one."""  # noqa: RUF002 - wide letters are the example
    return unicodedata.normalize("NFKC", name).strip().casefold()


@dataclass(frozen=True, slots=True)
class Attempts:
    """Wrong attempts of one name from one address. Without Redis nothing is counted: an outage must lock nobody out."""

    name: str
    address: str
    request_id: str
    # The browser's, where it has signed in with this name before.
    device: str | None = None

    @classmethod
    def of(cls, request: HttpRequest | Any, name: str) -> "Attempts":
        name = normalised(name)
        return cls(name, address_of(request.META), request_id_of(request), device_of(request.COOKIES, name))

    @property
    def _key_of_name(self) -> str:
        """Of a digest: a name may be of any length."""
        return hashlib.sha256(self.name.encode(errors="replace")).hexdigest()

    @property
    def _known_key(self) -> str:
        return f"login:known:{self._key_of_name}:{self.address}"

    def _keys(self) -> tuple[str, str]:
        """Where this attempt counts: for the name, or the browser or address it is known from; and for the address.

        A known browser does not count for its address, because others may share that.
        """
        if self.device is not None:
            return f"login:device:{self.device}", f"login:address:{self.address}:{self.device}"
        own = f"login:own:{self._key_of_name}:{self.address}"
        of_name = own if cache.get(self._known_key) else f"login:name:{self._key_of_name}"
        return of_name, f"login:address:{self.address}"

    def refuse_if_too_many(self) -> None:
        """Raise RateLimited after too many wrong attempts."""
        try:
            keys = self._keys()
            counts = cache.get_many(keys)
        except RedisError as error:
            log.warning("login_attempts_not_counted", error=type(error).__name__)
            return
        limits = (settings.LOGIN_ATTEMPTS, settings.LOGIN_ATTEMPTS * 5)
        if any(counts.get(key, 0) >= limit for key, limit in zip(keys, limits, strict=True)):
            raise RateLimited(
                "Too many wrong attempts; wait before the next one.",
                retry_after_seconds=int(settings.LOGIN_LOCKOUT_SECONDS),
            )

    def failed(self) -> None:
        """Count a wrong attempt. The attempt that locks the name out is audited, so each lock-out has one row."""
        try:
            keys = self._keys()
            for key in keys:
                cache.add(key, 0, timeout=settings.LOGIN_LOCKOUT_SECONDS)
            of_name, _ = (cache.incr(key) for key in keys)
        except (RedisError, ValueError) as error:
            # ValueError: the key expired between the two commands, and its count with it.
            log.warning("login_attempts_not_counted", error=type(error).__name__)
            return
        if of_name == settings.LOGIN_ATTEMPTS:
            door = Actor("system", "sign-in", "system (sign-in)", request_id=self.request_id)
            name = self.name[:_MOST_NAME_CHARACTERS]
            record_lock_out(actor=door, name=name, attempts=of_name, address=self.address)

    def succeeded(self) -> None:
        """Forget the name's wrong attempts from here, and know the address from now on.

        The address keeps its count, because other names may have added to it.
        """
        try:
            cache.delete(self._keys()[0])
            cache.set(self._known_key, 1, timeout=KNOWN_SECONDS)
        except RedisError as error:
            log.warning("login_attempts_not_counted", error=type(error).__name__)
