"""The requests that wait, once a policy or a freeze has changed: what they are asked now, and which are looked at."""

from collections.abc import Iterable

from django.db.models import Q
from django.utils import timezone

from approvals import needs
from approvals.guard import ask_resource
from approvals.models import ChangeRequest
from approvals.rules.content import Part
from approvals.selectors import waiting_over
from approvals.services.standing import Say, missing_of
from tenancy.models import Environment


def ask_again(environment: Environment) -> None:
    """Work out anew what the environment, which is locked, asks of each request that would change something there."""
    environment.refresh_from_db(fields=["is_guarded"])
    changed = []
    for request in waiting_over([environment]):
        parts = [Part(**part) for part in request.parts if part["environment"] == environment.key]
        found = needs.asks_of([needs.Touched(environment, environment.config_version, parts)])
        others = [ask for ask in request.asks if ask["environment"] != environment.key]
        asks = [*others, *(ask_resource(ask) for ask in found)]
        if asks != request.asks:
            request.asks = asks
            changed.append(request)
    ChangeRequest.objects.bulk_update(changed, ["asks"], batch_size=100)


def look_again(environments: Iterable[Environment]) -> None:
    """Have the schedule look at what is to be published by itself here, and misses nothing any more."""
    say = Say()
    by_itself = Q(publish_at__lte=timezone.now()) | Q(publish_at=None, is_automatic=True)
    due = waiting_over(environments).filter(by_itself, state=ChangeRequest.State.OPEN)
    waiting = [request.pk for request in due if not missing_of(request, say=say)]
    ChangeRequest.objects.filter(pk__in=waiting).update(due_at=timezone.now())


def is_its_time(request: ChangeRequest) -> bool:
    """Whether it publishes itself, and its instant, if it has one, has come."""
    return request.is_automatic if request.publish_at is None else request.publish_at <= timezone.now()
