"""The one error handler. Each refusal has the body `{type, errors: [{code, detail, attr}], requestId}`, no trace."""

import re
from http import HTTPStatus
from typing import Any, cast

import structlog
from django.core.exceptions import RequestDataTooBig
from django.db import DataError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from drf_standardized_errors.formatter import ExceptionFormatter
from drf_standardized_errors.handler import ExceptionHandler
from drf_standardized_errors.types import Error, ErrorResponse
from openflagship.wire import credentials
from openflagship.wire.bodies import SEND_JSON
from openflagship.wire.errors import AUTHENTICATE, RefusedError, code_of, error_body
from psycopg.errors import QueryCanceled
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rest_framework import exceptions

from tenancy.callers.request_ids import request_id_of
from tenancy.errors import Invalid, PayloadTooLarge, ServiceError, Unavailable

log = structlog.get_logger(__name__)

UNSTORABLE = "A value that was sent cannot be stored: it is too long, too large, or holds a character that is none."
TOO_SLOW = "This took the database too long, and was ended. Ask for less: a shorter window, or a narrower filter."
_AWAY = (OperationalError, InterfaceError, RedisConnectionError, RedisTimeoutError)
# DRF's codes, translated to the API's.
_CODES = {"error": "internal_error", "null": "required"}
# DRF says what is wrong. These texts say what to do about it.
_REMEDIES = {
    "not_authenticated": f" {credentials.HOW_TO_SEND}",
    "unsupported_media_type": f" {SEND_JSON}",
}


def is_unstorable(error: Exception) -> bool:
    """Whether the database, or the way to it, could not take a value. A field's own check should have named it."""
    return isinstance(error, (DataError, UnicodeEncodeError)) or (
        isinstance(error, ValueError) and "NUL (0x00)" in str(error)
    )


def is_too_slow(error: Exception) -> bool:
    """Whether PostgreSQL ended a statement because it took too long."""
    return isinstance(error, OperationalError) and isinstance(error.__cause__, QueryCanceled)


class _Refusal(exceptions.APIException):
    """A refusal of a service or of the wire format on its way through DRF."""

    def __init__(self, status: int, kind: str, errors: list[Error], headers: dict[str, str]) -> None:
        super().__init__(errors[0].detail, code=errors[0].code)
        self.status_code, self.kind, self.errors, self.headers = status, kind, errors, headers
        # Further members of the body.
        self.extra: dict[str, Any] = {}


class Handler(ExceptionHandler):
    """Known refusals keep their status. A server that is away is 503, and everything else a logged 500."""

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        if isinstance(exc, RequestDataTooBig):
            exc = PayloadTooLarge("The body is too large; send less, or split it.")
        elif is_unstorable(exc):
            log.warning("value_refused_by_database", error=str(exc))
            exc = Invalid(UNSTORABLE)
        elif is_too_slow(exc):
            exc = Unavailable(TOO_SLOW)
        elif isinstance(exc, _AWAY):
            exc = Unavailable("A server this needs is away at the moment; nothing was written. Try again shortly.")
        if isinstance(exc, ServiceError):
            return _of_service(exc)
        if isinstance(exc, RefusedError):
            errors = [Error(code, detail, attr) for attr, code, detail in exc.problems]
            return _Refusal(exc.status, exc.kind, errors, dict(exc.headers))
        return super().convert_known_exceptions(exc)

    def get_headers(self, exc: exceptions.APIException) -> dict[str, str]:
        return exc.headers if isinstance(exc, _Refusal) else super().get_headers(exc)


def refused_of(error: Exception) -> RefusedError | None:
    """The refusal that HTTP would answer with, for other ways to be called; None for what nobody expected."""
    if isinstance(error, RefusedError):
        return error
    known = Handler(error, cast(Any, {})).convert_known_exceptions(error)
    if isinstance(known, _Refusal):
        problems = [(each.attr, each.code, each.detail) for each in known.errors]
        after = int(known.headers.get("Retry-After", 1))
        return RefusedError(known.status_code, "", *problems, retry_after_seconds=after)
    if isinstance(known, exceptions.APIException) and not isinstance(known.detail, (dict, list)):
        return RefusedError(known.status_code, str(known.detail), code=known.detail.code)
    return None


class Formatter(ExceptionFormatter):
    """The body of API.md around the library's list of errors."""

    def get_error_type(self) -> Any:
        return self.exc.kind if isinstance(self.exc, _Refusal) else super().get_error_type()

    def get_errors(self) -> list[Error]:
        if isinstance(self.exc, _Refusal):
            return self.exc.errors
        return [
            Error(
                _CODES.get(error.code, error.code), f"{error.detail}{_REMEDIES.get(error.code, '')}", _path(error.attr)
            )
            for error in super().get_errors()
        ]

    def format_error_response(self, error_response: ErrorResponse) -> dict[str, Any]:
        request = self.context.get("request")
        problems = [(error.attr, error.code, error.detail) for error in error_response.errors]
        extra = self.exc.extra if isinstance(self.exc, _Refusal) else {}
        request_id = request_id_of(request) if request is not None else ""
        return {**error_body(error_response.type, problems, request_id), **extra}


def _of_service(error: ServiceError) -> _Refusal:
    headers = {}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = AUTHENTICATE
    errors = [Error(problem.code, problem.detail, problem.attr) for problem in error.problems]
    refusal = _Refusal(error.status, error.type, errors, headers)
    refusal.extra = error.extra
    return refusal


def _path(attr: str | None) -> str | None:
    """Return DRF's `rules.0.priority` as the services write it: `rules[0].priority`."""
    if attr is None:
        return None
    # DRF's name for an error of a field as a whole, such as a value that is not a list.
    return re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", attr.removesuffix("non_field_errors").removesuffix(".")) or None


def refused(request: HttpRequest, error: RefusedError) -> HttpResponse:
    """Return the response to a request that is refused outside DRF."""
    return _response(error.body(request_id_of(request)), error.status, dict(error.headers))


def plain_error(request: HttpRequest, status: int) -> HttpResponse:
    """Return the error body for requests that reach no DRF view: an unknown route, a refused host, a crash outside."""
    detail = "No such route; see /api/docs/." if status == 404 else f"{HTTPStatus(status).phrase}."
    kind = "server_error" if status >= 500 else "client_error"
    body = error_body(kind, [(None, code_of(status), detail)], request_id_of(request))
    return _response(body, status, {})


def _response(body: dict[str, Any], status: int, headers: dict[str, str]) -> HttpResponse:
    # Such a response does not pass Django's security middleware.
    return JsonResponse(body, status=status, headers={**headers, "X-Content-Type-Options": "nosniff"})
