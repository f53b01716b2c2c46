"""Approving, objecting and commenting. A verdict is about the content that the request has at that moment."""

from typing import Final

from django.db import transaction

import audit.services
from approvals import people
from approvals.models import ChangeRequest, Review
from approvals.selectors import policy_of
from approvals.services.publishing import publish_by_itself
from approvals.services.requests import locked_request
from approvals.services.standing import asks_of, missing_of
from approvals.services.waiting import is_its_time
from tenancy import access
from tenancy.callers.principals import Principal
from tenancy.errors import Conflict, Forbidden, Invalid
from tenancy.models import Environment, User
from tenancy.roles import Role

_Verdict, _State = Review.Verdict, ChangeRequest.State
_ACTIONS: Final = {
    _Verdict.APPROVE: "change_request.approved",
    _Verdict.OBJECT: "change_request.objected",
    _Verdict.WITHDRAW: "change_request.objection_withdrawn",
    _Verdict.COMMENT: "change_request.commented",
}


def review_request(
    *, principal: Principal, request: ChangeRequest, verdict: str, text: str = "", content: str | None = None
) -> ChangeRequest:
    """Say something about a request. `content` is the hash that was looked at; another one by now is refused.

    An approval publishes a request that publishes itself, as soon as nothing is missing any more; one with an instant
    only after that. One of a request that was published in an emergency is the review that was owed. Raises Forbidden,
    Invalid, Conflict.
    """
    reviewed = _review(principal, request, _Verdict(verdict), text, content)
    if verdict != _Verdict.COMMENT and is_its_time(reviewed) and not missing_of(reviewed):
        return publish_by_itself(reviewed)
    return reviewed


@transaction.atomic
def _review(
    principal: Principal, request: ChangeRequest, verdict: Review.Verdict, text: str, content: str | None
) -> ChangeRequest:
    row = locked_request(request)
    user = User.objects.get(pk=principal.user_id or 0)
    if verdict != _Verdict.COMMENT:
        _require_say(principal, user, row, verdict)
        _refuse_closed(row)
    if content is not None and content != row.content:
        raise Conflict(
            "The request has changed since you looked at it; look again at what it would serve now.",
            code="content_changed",
            attr="content",
        )
    if verdict in {_Verdict.OBJECT, _Verdict.COMMENT} and not text.strip():
        raise Invalid("Say in a sentence what you mean.", attr="text", code="required")
    Review.objects.create(
        request=row,
        reviewer=user,
        reviewer_label=principal.actor.label,
        verdict=verdict,
        text=text,
        content=row.content,
        bases=[change["baseVersion"] for change in row.changes],
    )
    is_other = user.pk != row.author_id and principal.actor.label != row.published_by
    is_second_look = verdict in {_Verdict.APPROVE, _Verdict.OBJECT} and is_other and not user.is_service
    if row.is_review_owed and is_second_look:
        row.is_review_owed = False
    row.version += 1
    row.save(update_fields=["is_review_owed", "version", "updated_at"])
    audit.services.record(
        actor=principal.actor,
        action=_ACTIONS[verdict],
        at=row.environment,
        key=str(row.pk),
        after={"title": row.title, "content": row.content, "text": text},
        reason=text,
    )
    return row


def _refuse_closed(request: ChangeRequest) -> None:
    if request.state == _State.OPEN or request.is_review_owed:
        return
    hint = " Its author opens it first." if request.state == _State.DRAFT else ""
    raise Conflict(f"The change request is {request.state}.{hint}", code="wrong_state", attr="state")


def _require_say(principal: Principal, user: User, request: ChangeRequest, verdict: Review.Verdict) -> None:
    """Raise Forbidden for somebody whose verdict would count nowhere."""
    keys = {request.environment.key, *(ask.environment for ask in asks_of(request))}
    found = Environment.objects.filter(project=request.environment.project_id, key__in=keys)
    for environment in found.select_related("project__organization"):
        policy = policy_of(environment)
        if verdict == _Verdict.APPROVE:
            is_own = user.pk == request.author_id and not policy.is_own_approval_allowed
            if people.is_check(user, policy) or (people.may_approve(user, environment, policy) and not is_own):
                return
        elif people.may_object(user, environment, policy):
            return
    if verdict == _Verdict.APPROVE and user.pk == request.author_id:
        raise Forbidden("The policy has others approve what you propose; ask one of them.")
    policy = policy_of(request.environment)
    who = ", ".join([*policy.approver_roles, *policy.approver_groups]) or "nobody yet"
    access.require(principal, request.environment, Role.VIEWER)
    raise Forbidden(f"Your verdict does not count here. {request.environment.key} is approved by: {who}.")
