"""What wraps every request: its id, and answers without a stack trace when something outside DRF goes wrong."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from openflagship.ids import uuid7

from flagship.errors import plain_error
from tenancy.addresses import address_of
from tenancy.api.throttling import VERDICT
from tenancy.limits import BUCKETS

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,100}\Z")
_API_PREFIXES = ("/api/", "/v1/", "/ofrep/")

GetResponse = Callable[[HttpRequest], HttpResponseBase]


def request_id_of(meta: Mapping[str, Any], otherwise: str | None = None) -> str:
    """Return the caller's `X-Request-ID` where it is fit to be logged, else `otherwise`, else a new one."""
    given = meta.get("HTTP_X_REQUEST_ID", "")
    return given if _REQUEST_ID.match(given) else otherwise or str(uuid7())


class RequestIdMiddleware:
    """Take the caller's `X-Request-ID` or make one, bind it to every log line, and send it back."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request_id = request_id_of(request.META)
        request.META["flagship.request_id"] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            response = self.get_response(request)
        finally:
            structlog.contextvars.unbind_contextvars("request_id")
        response["X-Request-ID"] = request_id
        return response


class RateLimitMiddleware:
    """Limit each address before anything else is asked, and say in the headers how much is left to the caller."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path.startswith(_API_PREFIXES):
            return self.get_response(request)
        verdict = BUCKETS.take(address_of(request.META), settings.RATE_LIMIT_ADDRESS)
        if not verdict.is_allowed:
            response: HttpResponseBase = plain_error(request, 429)
            response["Retry-After"] = str(verdict.retry_after_seconds)
        else:
            response = self.get_response(request)
            # The credential's own limit, where one was checked, is the nearer one.
            verdict = request.META.get(VERDICT, verdict)
        for name, value in verdict.headers.items():
            response[name] = value
        return response


class PlainErrorsMiddleware:
    """Under the API's prefixes, turn HTML error pages (no such route, a refused host) into the one JSON error body."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if (
            isinstance(response, HttpResponse)
            and response.status_code >= 400
            and request.path.startswith(_API_PREFIXES)
            and response.headers.get("Content-Type", "").startswith("text/html")
        ):
            return plain_error(request, response.status_code)
        return response
