"""Asking for approval, from any page whose write is refused until others agree. The approvals app fills it in."""

from dataclasses import dataclass
from typing import Any, Protocol

from django.http import HttpRequest, HttpResponse

from tenancy.errors import ServiceError
from tenancy.models import Environment

# The name of the button that asks for approval where the write itself is refused.
PROPOSE = "propose"


@dataclass(frozen=True, slots=True)
class Asked:
    """What an environment asks before a change is served, in a sentence. `is_always`: of every change."""

    sentence: str
    is_always: bool


class Desk(Protocol):
    def asked_in(self, environment: Environment) -> Asked | None: ...

    def propose(self, request: HttpRequest, refusal: ServiceError, reason: str) -> HttpResponse: ...


_desks: list[Desk] = []


def register_desk(desk: Desk) -> None:
    if desk not in _desks:
        _desks.append(desk)


def asked_in(environment: Environment | None) -> Asked | None:
    """Return what is asked there; None: nothing. It costs no query where nothing guards the environment."""
    if environment is None or not environment.is_guarded:
        return None
    return next((said for desk in _desks if (said := desk.asked_in(environment)) is not None), None)


def is_proposable(error: ServiceError | None) -> bool:
    """Whether the refusal carries a change request that is ready to be sent."""
    return error is not None and bool(_desks) and bool(error.extra.get("changeRequest"))


def proposed(request: HttpRequest, error: ServiceError, reason: Any = "") -> HttpResponse | None:
    """Propose what was refused, where the person pressed the button for that. Raises ServiceError."""
    if PROPOSE not in request.POST or not is_proposable(error):
        return None
    return _desks[0].propose(request, error, str(reason or ""))
