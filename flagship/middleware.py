"""What wraps every request: its id, and answers without a stack trace when something outside DRF goes wrong."""

import re
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from openflagship.ids import uuid7

from flagship.errors import plain_error

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,100}\Z")
_API_PREFIXES = ("/api/", "/v1/", "/ofrep/")

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class RequestIdMiddleware:
    """Take the caller's `X-Request-ID` or make one, bind it to every log line, and send it back."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if _REQUEST_ID.match(given) else str(uuid7())
        request.META["flagship.request_id"] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            response = self.get_response(request)
        finally:
            structlog.contextvars.unbind_contextvars("request_id")
        response["X-Request-ID"] = request_id
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
