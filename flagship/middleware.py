"""What wraps every request: its id, the limit of its address, and JSON errors where Django would answer in HTML."""

from collections.abc import Callable
from itertools import chain

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from openflagship.wire import request_ids
from openflagship.wire.bodies import text_problem
from openflagship.wire.limits import too_many_requests
from openflagship.wire.routes import JSON_PREFIXES

from flagship.console.error_pages import error_page
from flagship.errors import TOO_SLOW, UNSTORABLE, is_too_slow, is_unstorable, plain_error, refused
from flagship.serving.access_log import PROBES
from tenancy.api.throttling import VERDICT
from tenancy.authentication.devices import SIGNED_IN, remember
from tenancy.callers.addresses import address_of
from tenancy.callers.limits import BUCKETS
from tenancy.callers.request_ids import META_KEY
from tenancy.credentials import masked

log = structlog.get_logger(__name__)

_CREDENTIALS = ("HTTP_AUTHORIZATION", "HTTP_X_API_KEY", "HTTP_COOKIE")
# Pages that answer whoever asks, whatever is sent along.
_OPEN = ("/api/schema/", "/api/docs/", "/api/auth/", "/v1/auth/", "/admin/login/", "/sso/")
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
        if request.path in PROBES or request.path.startswith(settings.STATIC_URL):
            return self.get_response(request)
        address, is_json = address_of(request.META), request.path.startswith(JSON_PREFIXES)
        verdict = BUCKETS.take(address, settings.RATE_LIMIT_ADDRESS)
        is_open = request.path.startswith(_OPEN) or not any(request.META.get(name) for name in _CREDENTIALS)
        if verdict.is_allowed and is_open:
            # Whoever shows nothing has nothing to evaluate or to send; and these pages ask for nothing.
            verdict = BUCKETS.take(f"anonymous:{address}", settings.RATE_LIMIT_ANONYMOUS)
        if not verdict.is_allowed:
            response: HttpResponseBase = refused(request, too_many_requests(verdict))
        else:
            response = self.get_response(request)
            if not is_json:
                return response
            # The credential's own limit, where one was checked, is the nearer one.
            verdict = request.META.get(VERDICT, verdict)
        for name, value in verdict.headers:
            response[name] = value
        return response


class DeviceMiddleware:
    """Give a browser that has just signed in the cookie by which it is known the next time."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        name = request.META.get(SIGNED_IN)
        if name is not None:
            remember(response, name)
        return response


class UnstorableMiddleware:
    """Answer 400 where a console page could not take a value, and in the address nothing that no store takes."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        # The API's own check names the parameter.
        is_page = not request.path.startswith(JSON_PREFIXES)
        if is_page and any(text_problem(str(text)) for text in chain([request.path], *request.GET.items())):
            return error_page(request, 400, UNSTORABLE)
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        if is_too_slow(error):
            log.warning("statement_ended", path=masked(request.path))
            response = error_page(request, 503, TOO_SLOW)
            response["Retry-After"] = "5"
            return response
        if not is_unstorable(error):
            return None
        log.warning("value_refused_by_database", path=masked(request.path), error=str(error))
        return error_page(request, 400, UNSTORABLE)


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
