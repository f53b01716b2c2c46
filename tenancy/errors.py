"""The errors by which services refuse. One handler makes the API's body of them; the console makes messages."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of what was sent: the field's path, a stable code, and a message that names the remedy."""

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
        # Whether what was written before the refusal stays, where the caller has a transaction around it.
        self.is_work_kept = False


class Invalid(ServiceError):
    """What was sent is invalid; nothing was written."""

    type = "validation_error"

    def __init__(self, problems: list[Problem] | str, *, attr: str | None = None, code: str = "invalid") -> None:
        found = [Problem(attr, code, problems)] if isinstance(problems, str) else problems
        super().__init__("; ".join(problem.detail for problem in found))
        self.problems = found


class Conflict(ServiceError):
    """The request is valid, but the object's current state forbids it. `current` is that state."""

    status = 409
    code = "conflict"

    def __init__(self, detail: str, *, code: str, attr: str | None = None, current: Any = None) -> None:
        super().__init__(detail, attr=attr, code=code)
        if current is not None:
            self.extra = {"current": current}


class Unauthenticated(ServiceError):
    """The credential is missing, unknown or no longer valid."""

    status = 401
    code = "authentication_failed"


class NotFound(ServiceError):
    """The object does not exist or belongs to another tenant; the caller cannot tell which."""

    status = 404
    code = "not_found"


class OutOfReach(NotFound):
    """The caller has no role on any such organization, project or environment."""


class Forbidden(ServiceError):
    """The caller may see the object, but its role does not allow this."""

    status = 403
    code = "permission_denied"


class PayloadTooLarge(ServiceError):
    status = 413
    code = "payload_too_large"


class Unavailable(ServiceError):
    """A server that we depend on is away. The caller may send the same request again."""

    status = 503
    type = "server_error"
    code = "unavailable"

    def __init__(self, detail: str, *, retry_after_seconds: int = 5) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class RateLimited(ServiceError):
    """The caller sent too many requests. It may send this one again later."""

    status = 429
    code = "rate_limited"

    def __init__(self, detail: str, *, retry_after_seconds: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds
