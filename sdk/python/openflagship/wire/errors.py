"""Refusals and their bodies: `{type, errors: [{code, detail, attr}], requestId}`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

# The field's path or None, a stable code, and what to do about it.
FieldError = tuple[str | None, str, str]

# The code that goes with a status where nothing more exact is known.
CODES: Final = {
    400: "invalid",
    401: "authentication_failed",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
    415: "unsupported_media_type",
    429: "rate_limited",
    500: "internal_error",
    503: "unavailable",
}
# The body could not be read, so nothing in it was validated.
PARSE_ERROR: Final = "parse_error"
AUTHENTICATE: Final = 'Bearer realm="flagship"'


def code_of(status: int) -> str:
    """The code of a status that has none of its own."""
    return CODES.get(status, "internal_error" if status >= 500 else "invalid")


def error_body(kind: str, problems: Iterable[FieldError], request_id: str) -> dict[str, Any]:
    """`kind`: validation_error, client_error or server_error."""
    errors = [{"code": code, "detail": detail, "attr": attr} for attr, code, detail in problems]
    return {"type": kind, "errors": errors, "requestId": request_id}


class RefusedError(Exception):
    """A request that is refused with this status."""

    def __init__(
        self,
        status: int,
        detail: str = "",
        *problems: FieldError,
        code: str | None = None,
        retry_after_seconds: int = 1,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        """`problems` in place of `detail`, where there are several or a field is to blame. `headers`: further ones."""
        super().__init__(detail or "; ".join(problem[2] for problem in problems))
        self.status = status
        self.problems: tuple[FieldError, ...] = problems or ((None, code or code_of(status), detail),)
        self.retry_after_seconds = retry_after_seconds
        self._headers = headers

    @property
    def kind(self) -> str:
        if self.status >= 500:
            return "server_error"
        is_validation = self.status == 400 and not self.is_parse_error
        return "validation_error" if is_validation else "client_error"

    def body(self, request_id: str) -> dict[str, Any]:
        return error_body(self.kind, self.problems, request_id)

    @property
    def headers(self) -> list[tuple[str, str]]:
        """What a client needs besides the body: when to come back, how to authenticate, which methods there are."""
        headers = list(self._headers)
        if self.status in {429, 503}:
            headers.append(("Retry-After", str(self.retry_after_seconds)))
        elif self.status == 401:
            headers.append(("WWW-Authenticate", AUTHENTICATE))
        return headers

    @property
    def is_parse_error(self) -> bool:
        return self.problems[0][1] == PARSE_ERROR


def method_not_allowed(method: str, allow: str) -> RefusedError:
    return RefusedError(405, f'Method "{method}" not allowed.', headers=[("Allow", allow)])
