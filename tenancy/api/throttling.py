"""DRF's throttle over the token buckets, one per credential. The middleware limits addresses before."""

from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from tenancy.limits import BUCKETS, Verdict
from tenancy.principals import Principal

# The verdict, for the middleware that writes the headers.
VERDICT = "flagship.rate_limit"


class CredentialThrottle(BaseThrottle):
    def __init__(self) -> None:
        self._verdict: Verdict | None = None

    def allow_request(self, request: Request, view: Any) -> bool:  # noqa: ARG002 - DRF's signature
        principal = request.user
        if not isinstance(principal, Principal):
            return True
        limit = settings.RATE_LIMIT_KEY if principal.is_key else settings.RATE_LIMIT_MANAGEMENT
        caller = principal.actor.credential or f"user:{principal.user_id}"
        self._verdict = request.META[VERDICT] = BUCKETS.take(caller, limit)
        return self._verdict.is_allowed

    def wait(self) -> float | None:
        return self._verdict.retry_after_seconds if self._verdict else None
