"""The one error handler: each refusal leaves as `{type, errors: [{code, detail, attr}], requestId}`, no stack trace."""

import re
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from drf_standardized_errors.formatter import ExceptionFormatter
from drf_standardized_errors.handler import ExceptionHandler
from drf_standardized_errors.types import Error, ErrorResponse
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rest_framework import exceptions

from tenancy.errors import PayloadTooLarge, ServiceError, Unavailable

_AWAY = (OperationalError, InterfaceError, RedisConnectionError, RedisTimeoutError)
# DRF's codes, in the words of the API.
_CODES = {"throttled": "rate_limited", "error": "internal_error", "required": "required", "null": "required"}
# What DRF says is wrong, it does not say how to mend.
_REMEDIES = {
    "not_authenticated": " Send `Authorization: Bearer fs_…`: a server or client key, a management token or a JWT.",
    "unsupported_media_type": " Send JSON, with `Content-Type: application/json`.",
}


class _Refusal(exceptions.APIException):
    """A service's refusal on its way through DRF."""

    def __init__(self, error: ServiceError) -> None:
        super().__init__(str(error), code=error.code)
        self.error = error
        self.status_code = error.status
        self.wait = error.retry_after_seconds
        if error.status == HTTPStatus.UNAUTHORIZED:
            self.auth_header = 'Bearer realm="flagship"'


class Handler(ExceptionHandler):
    """Known refusals with their status; a server that is away as 503; all else as a logged 500."""

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        if isinstance(exc, RequestDataTooBig):
            exc = PayloadTooLarge("The body is too large; send less, or split it.")
        elif isinstance(exc, _AWAY):
            exc = Unavailable("A server this needs is away at the moment; nothing was written. Try again shortly.")
        if isinstance(exc, ServiceError):
            return _Refusal(exc)
        return super().convert_known_exceptions(exc)

    def get_headers(self, exc: exceptions.APIException) -> dict[str, str]:
        headers = super().get_headers(exc)
        if isinstance(exc, exceptions.Throttled):
            headers["Retry-After"] = str(max(1, round(getattr(exc, "wait", None) or 1)))
        return headers


class Formatter(ExceptionFormatter):
    """The body of API.md around the library's list of errors."""

    def get_error_type(self) -> Any:
        if isinstance(self.exc, _Refusal):
            return self.exc.error.type
        return super().get_error_type()

    def get_errors(self) -> list[Error]:
        if isinstance(self.exc, _Refusal):
            return [Error(problem.code, problem.detail, problem.attr) for problem in self.exc.error.problems]
        return [
            Error(
                _CODES.get(error.code, error.code), f"{error.detail}{_REMEDIES.get(error.code, '')}", _path(error.attr)
            )
            for error in super().get_errors()
        ]

    def format_error_response(self, error_response: ErrorResponse) -> dict[str, Any]:
        request = self.context.get("request")
        extra = self.exc.error.extra if isinstance(self.exc, _Refusal) else {}
        return {**asdict(error_response), "requestId": _request_id(request), **extra}


def _path(attr: str | None) -> str | None:
    """`rules.0.priority`, as DRF says it, in the words of the services: `rules[0].priority`."""
    if attr is None:
        return None
    # What is wrong with a field as a whole, such as a list that is none.
    return re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", attr.removesuffix("non_field_errors").removesuffix(".")) or None


def _request_id(request: Any) -> str:
    return request.META.get("flagship.request_id", "") if request is not None else ""


def plain_error(request: HttpRequest, status: int) -> HttpResponse:
    """Return the error body for what never reached a DRF view: an unknown route, a refused host, a crash outside."""
    codes = {
        404: "not_found",
        403: "permission_denied",
        413: "payload_too_large",
        405: "method_not_allowed",
        429: "rate_limited",
    }
    detail = "No such route; see /api/docs/." if status == 404 else f"{HTTPStatus(status).phrase}."
    is_ours = status >= 500
    error = Error(codes.get(status, "internal_error" if is_ours else "invalid"), detail, None)
    response = ErrorResponse("server_error" if is_ours else "client_error", [error])
    return JsonResponse({**asdict(response), "requestId": _request_id(request)}, status=status)
