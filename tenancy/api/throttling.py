"""DRF's throttle over the token buckets: one bucket per credential. The middleware limits addresses before."""

from typing import Any

from django.conf import settings
from openflagship.wire.limits import too_many_requests
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from tenancy.callers.limits import BUCKETS
from tenancy.callers.principals import Principal

# The key in `request.META` under which the middleware finds the verdict for the headers.
VERDICT = "flagship.rate_limit"


class CredentialThrottle(BaseThrottle):
    def allow_request(self, request: Request, view: Any) -> bool:  # noqa: ARG002 - DRF's signature
        """Return whether the request may pass. Raises RefusedError, not DRF's exception, so that all 429 look alike."""
        principal = request.user
        if not isinstance(principal, Principal):
            return True
        limit = settings.RATE_LIMIT_KEY if principal.is_key else settings.RATE_LIMIT_MANAGEMENT
        caller = principal.actor.credential or f"user:{principal.user_id}"
        verdict = request.META[VERDICT] = BUCKETS.take(caller, limit)
        if not verdict.is_allowed:
            raise too_many_requests(verdict)
        return True
