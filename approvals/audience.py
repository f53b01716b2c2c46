"""Whom an event of a change request concerns: those who may approve it, and whoever has said something about it."""

from collections.abc import Iterable

from approvals import people
from approvals.models import ChangeRequest
from approvals.selectors import policy_of
from audit.models import Entry
from tenancy.models import Environment

_TO_REVIEWERS = frozenset({
    "change_request.created",
    "change_request.updated",
    "change_request.rebased",
    "change_request.emergency_published",
})  # fmt: skip
_KIND = "change_request"


def concerned(entry: Entry) -> Iterable[int]:
    """Return the ids of users. Requests that wait and emergencies concern all who may approve them."""
    if entry.entity_type != _KIND:
        return
    request = ChangeRequest.objects.filter(pk=entry.entity_key).select_related("environment__project").first()
    if request is None:
        return
    if request.author_id is not None:
        yield request.author_id
    yield from (pk for pk in request.reviews.values_list("reviewer", flat=True) if pk is not None)
    if entry.action in _TO_REVIEWERS and request.state != ChangeRequest.State.DRAFT:
        yield from _approvers(request)


def _approvers(request: ChangeRequest) -> Iterable[int]:
    keys = {request.environment.key, *(ask["environment"] for ask in request.asks)}
    found = Environment.objects.filter(project=request.environment.project_id, key__in=keys)
    for environment in found.select_related("project"):
        policy = policy_of(environment)
        if policy.is_asking:
            yield from people.approvers(environment, policy).values_list("pk", flat=True)
