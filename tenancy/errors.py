"""What a service refuses, and why: the one handler turns these into the API's body, the console into messages."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with what was sent: the field's path, a stable code, and a message with its remedy."""

    attr: str | None
    code: str
    detail: str


class ServiceError(Exception):
    """A refusal with an HTTP status, a type of API.md, and one or more problems."""

    status = 400
    type = "client_error"
    code = "invalid"

    def __init__(self, detail: str, *, attr: str | None = None, code: str | None = None) -> None:
        super().__init__(detail)
        self.problems = [Problem(attr, code or self.code, detail)]
        self.extra: dict[str, Any] = {}
        self.retry_after_seconds: int | None = None


class Invalid(ServiceError):
    """What was sent cannot be stored; nothing was written."""

    type = "validation_error"

    def __init__(self, problems: list[Problem] | str, *, attr: str | None = None, code: str = "invalid") -> None:
        found = [Problem(attr, code, problems)] if isinstance(problems, str) else problems
        super().__init__("; ".join(problem.detail for problem in found))
        self.problems = found


class Conflict(ServiceError):
    """The request is sound, but the object's present state forbids it; `current` is that state."""

    status = 409
    code = "conflict"

    def __init__(self, detail: str, *, code: str, attr: str | None = None, current: Any = None) -> None:
        super().__init__(detail, attr=attr, code=code)
        if current is not None:
            self.extra = {"current": current}


class Unauthenticated(ServiceError):
    """What was presented proves nobody's identity."""

    status = 401
    code = "authentication_failed"


class NotFound(ServiceError):
    """Not there, or another tenant's: the caller cannot tell which."""

    status = 404
    code = "not_found"


class Forbidden(ServiceError):
    """The caller may see the object, but its role does not allow this."""

    status = 403
    code = "permission_denied"


class PayloadTooLarge(ServiceError):
    status = 413
    code = "payload_too_large"


class Unavailable(ServiceError):
    """A server we depend on is away; the same request may be sent again."""

    status = 503
    type = "server_error"
    code = "unavailable"

    def __init__(self, detail: str, *, retry_after_seconds: int = 5) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class RateLimited(ServiceError):
    """Too much, too fast; the same request may be sent again later."""

    status = 429
    code = "rate_limited"

    def __init__(self, detail: str, *, retry_after_seconds: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds
