"""Asking for approval, from any page whose write is refused until others agree. The approvals app fills it in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar, cast

from django.db import transaction
from django.http import HttpRequest, HttpResponse

from tenancy.errors import Conflict, ServiceError
from tenancy.models import Environment

Done = TypeVar("Done")

# The name of the button that asks for approval where the write itself is refused.
PROPOSE = "propose"
# The address of a form names the request that is edited in it.
AMENDED = "change_request"


@dataclass(frozen=True, slots=True)
class Asked:
    """What an environment asks before a change is served, in a sentence. `is_always`: of every change.

    `is_offered`: the page has the button that asks for approval.
    """

    sentence: str = ""
    is_always: bool = False
    is_offered: bool = False


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change in a request is about."""

    environment: Environment
    kind: str
    key: str


@dataclass(frozen=True, slots=True)
class Amendment:
    """A request that is edited in the form of the thing that it changes: the fields that it sets, and its page."""

    title: str
    url: str
    patch: Mapping[str, Any]


class Desk(Protocol):
    def asked_in(self, request: HttpRequest, environment: Environment) -> Asked | None: ...

    def propose(self, request: HttpRequest, refusal: ServiceError, reason: str) -> HttpResponse: ...

    def amended(self, request: HttpRequest, pk: str, change: "Changed") -> "Amendment | None": ...

    def amend(self, request: HttpRequest, pk: str, change: "Changed", patch: Mapping[str, Any]) -> HttpResponse: ...


_desks: list[Desk] = []


def register_desk(desk: Desk) -> None:
    if desk not in _desks:
        _desks.append(desk)


def asked_in(request: HttpRequest, environment: Environment | None) -> Asked | None:
    """Return what is asked there; None: nothing. It costs no query where nothing guards the environment."""
    if environment is None or not environment.is_guarded:
        return None
    return next((said for desk in _desks if (said := desk.asked_in(request, environment)) is not None), None)


def offered(request: HttpRequest, environment: Environment | None, *, is_proposable: bool) -> Asked | None:
    """Return what a page shows. It offers to ask where every change is asked for, and where this one was refused."""
    found = asked_in(request, environment)
    if found is None and not is_proposable:
        return None
    found = found or Asked()
    return replace(found, is_offered=found.is_always or is_proposable)


def is_proposable(error: ServiceError | None) -> bool:
    """Whether the refusal carries a change request that is ready to be sent."""
    return error is not None and bool(_desks) and bool(error.extra.get("changeRequest"))


def is_wanted(request: HttpRequest) -> bool:
    """Whether the person pressed the button that asks for approval."""
    return PROPOSE in request.POST


def proposed(request: HttpRequest, error: ServiceError, reason: Any = "") -> HttpResponse | None:
    """Propose what was refused, where the person pressed the button for that. Raises ServiceError."""
    if not is_wanted(request) or not is_proposable(error):
        return None
    made = _desks[0].propose(request, error, str(reason or ""))
    cast(Any, request).is_proposed = True
    return made


def answered(request: HttpRequest, error: ServiceError, reason: Any = "") -> tuple[HttpResponse | None, ServiceError]:
    """Return the answer where approval was asked for of what was refused, else None; and what is wrong then."""
    try:
        return proposed(request, error, reason), error
    except ServiceError as refusal:
        return None, refusal


def attempted(request: HttpRequest, write: Callable[[], Done], serves: Environment | None = None) -> Done:
    """Run a write that the gate may refuse, and return what it returns.

    Where the person asks for approval and nothing refuses the write, it stands only where the environment that it
    `serves` asks before every change: then it changes nothing that is served. Elsewhere it is taken back, since the
    person did not mean to publish. A write that answers with a page has not been made yet.
    Raises Conflict `no_approval_needed` then.
    """
    if not is_wanted(request):
        return write()
    with transaction.atomic():
        done = write()
        is_page = isinstance(done, HttpResponse) and done.status_code != 302
        if is_page or getattr(request, "is_proposed", False):
            return done
        asked = asked_in(request, serves)
        if asked is None or not asked.is_always:
            raise Conflict(
                "Nothing asks for an approval of this any more, and nothing is saved yet. Save it as usual.",
                code="no_approval_needed",
            )
    return done


def together(title: str, refusals: Sequence[ServiceError]) -> ServiceError:
    """Return one refusal for several writes, so that they are asked for in one request. Raises what cannot be."""
    first = refusals[0]
    changes = [change for refusal in refusals for change in refusal.extra["changeRequest"]["changes"]]
    first.extra = {**first.extra, "changeRequest": {"title": title, "changes": changes}}
    return first


def amended(request: HttpRequest, change: Changed) -> Amendment | None:
    """Return the request that the address names, where it changes this and can still be edited. Raises Http404."""
    pk = request.GET.get(AMENDED)
    return _desks[0].amended(request, pk, change) if pk and _desks else None


def amend(request: HttpRequest, change: Changed, patch: Mapping[str, Any]) -> HttpResponse:
    """Put the fields of the form into the request that the address names. Raises ServiceError."""
    return _desks[0].amend(request, request.GET[AMENDED], change, patch)
