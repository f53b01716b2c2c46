"""Reading policies, change requests and freezes."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from approvals.models import ChangeRequest, Freeze, Policy
from approvals.rules.windows import Window, holds_until
from flags.services.gate import Freeze as Held
from tenancy.errors import NotFound
from tenancy.models import Environment

_NO_END = datetime.max.replace(tzinfo=UTC)


def policy_of(environment: Environment) -> Policy:
    """Return the environment's policy; where none is stored, one that asks nothing."""
    return Policy.objects.filter(environment=environment).first() or Policy(environment=environment)


# -- Freezes --------------------------------------------------------------------------------------------------------


def freezes_over(environment: Environment) -> QuerySet[Freeze]:
    """The freezes that reach an environment, whether they hold now or not."""
    reach = (
        Q(environment=environment)
        | Q(project=environment.project_id, environment__isnull=True)
        | Q(organization=environment.project.organization_id, project__isnull=True)
    )
    return Freeze.objects.filter(reach).select_related("project", "environment")


def window_of(freeze: Freeze) -> Window:
    parts: dict[str, Any] = {} if freeze.duration is None else {"duration": freeze.duration}
    return Window(freeze.since, freeze.until, freeze.cron, zone=freeze.zone, **parts)


def freezes_now(environment: Environment, now: datetime) -> list[tuple[Freeze, datetime | None]]:
    """Return the freezes that hold, the longest first, each with its end; None where nobody set an end."""
    held = [(freeze, holds_until(window_of(freeze), now)) for freeze in freezes_over(environment)]
    found = sorted(
        ((freeze, until) for freeze, until in held if until is not None), key=lambda pair: pair[1], reverse=True
    )
    return [(freeze, None if until == _NO_END else until) for freeze, until in found]


def held_by(freeze: Freeze, until: datetime | None) -> Held:
    return {"id": str(freeze.pk), "name": freeze.name, "reason": freeze.reason, "until": until}


def frozen(environment: Environment, now: datetime) -> Held | None:
    """Return the freeze that holds longest in the environment."""
    found = freezes_now(environment, now)
    return held_by(*found[0]) if found else None


# -- Change requests ------------------------------------------------------------------------------------------------


def requests_in(environments: Iterable[Environment]) -> QuerySet[ChangeRequest]:
    """The requests of these environments, and those that ask for a review there."""
    reach = Q(pk__in=[])
    for environment in environments:
        reach |= Q(environment=environment) | _beside(environment, asks__contains=[{"environment": environment.key}])
    found = ChangeRequest.objects.filter(reach)
    return found.select_related("environment__project__organization", "author").prefetch_related("reviews__reviewer")


def _beside(environment: Environment, **asked: Any) -> Q:
    """Requests of any environment of the project. Without a join, each side of an OR has its index."""
    return Q(environment__in=Environment.objects.filter(project=environment.project_id).values("pk"), **asked)


def waiting_over(environments: Iterable[Environment]) -> QuerySet[ChangeRequest]:
    """The requests that are not published and would change something in one of these environments."""
    reach = Q(pk__in=[])
    for environment in environments:
        reach |= _beside(environment, parts__contains=[{"environment": environment.key}])
    found = ChangeRequest.objects.filter(reach, state__in=[ChangeRequest.State.DRAFT, ChangeRequest.State.OPEN])
    return found.select_related("environment__project__organization", "author").prefetch_related("reviews__reviewer")


def get_request(environments: QuerySet[Environment], pk: UUID | str) -> ChangeRequest:
    """Return the request, of one of the environments or asking for a review in one. Raises NotFound."""
    found = (
        ChangeRequest.objects.filter(pk=pk)
        .select_related("environment__project__organization", "author")
        .prefetch_related("reviews__reviewer")
        .first()
    )
    if found is None:
        raise NotFound("There is no such change request, or it belongs to another tenant.")
    asked = [ask["environment"] for ask in found.asks]
    reach = Q(pk=found.environment_id) | Q(project=found.environment.project_id, key__in=asked)
    if not environments.filter(reach).exists():
        raise NotFound("There is no such change request, or it belongs to another tenant.")
    return found


def touching(found: QuerySet[ChangeRequest], kind: str, key: str) -> QuerySet[ChangeRequest]:
    """Of these requests those that change the thing, or that serve it otherwise."""
    return found.filter(
        Q(changes__contains=[{"resource": {"type": kind, "key": key}}])
        | Q(parts__contains=[{"entity": kind, "key": key}])
    )


def open_requests_touching(environment: Environment, kind: str, key: str) -> QuerySet[ChangeRequest]:
    return touching(requests_in([environment]).filter(state=ChangeRequest.State.OPEN), kind, key)


def reviews_owed(environments: Iterable[Environment]) -> QuerySet[ChangeRequest]:
    """What was published in an emergency and that nobody has looked at since."""
    return requests_in(environments).filter(is_review_owed=True)
