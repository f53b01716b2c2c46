"""What wraps every request: its id, the limit of its address, and JSON errors where Django would answer in HTML."""

from collections.abc import Callable

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from openflagship.wire import request_ids
from openflagship.wire.limits import too_many_requests
from openflagship.wire.routes import JSON_PREFIXES

from flagship.errors import plain_error, refused
from tenancy.api.throttling import VERDICT
from tenancy.callers.addresses import address_of
from tenancy.callers.limits import BUCKETS
from tenancy.callers.request_ids import META_KEY

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class RequestIdMiddleware:
    """Take the caller's `X-Request-ID` or make one, bind it to every log line, and send it back."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request_id = request_ids.request_id_of(request.META.get("HTTP_X_REQUEST_ID", ""))
        request.META[META_KEY] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            response = self.get_response(request)
        finally:
            structlog.contextvars.unbind_contextvars("request_id")
        response[request_ids.HEADER] = request_id
        return response


class RateLimitMiddleware:
    """Limit each address before all other checks. The headers say how many requests the caller has left."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path.startswith(JSON_PREFIXES):
            return self.get_response(request)
        verdict = BUCKETS.take(address_of(request.META), settings.RATE_LIMIT_ADDRESS)
        if verdict.is_allowed:
            response = self.get_response(request)
            # The credential's own limit, where one was checked, is the nearer one.
            verdict = request.META.get(VERDICT, verdict)
        else:
            response = refused(request, too_many_requests(verdict))
        for name, value in verdict.headers:
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
            and request.path.startswith(JSON_PREFIXES)
            and response.headers.get("Content-Type", "").startswith("text/html")
        ):
            return plain_error(request, response.status_code)
        return response
