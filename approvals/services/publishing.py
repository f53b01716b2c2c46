"""Publishing a request: its changes go through the services in one transaction, and then it is checked what they made.

What was approved is a hash of what would be served. What is compared with it is what is served, before the commit.
"""

from datetime import datetime
from typing import Final

import structlog
from django.db import transaction
from django.utils import timezone

import audit.services
from approvals import people
from approvals.documents import listed_request
from approvals.guard import ask_resource, is_out_of_freezes, refuse_frozen
from approvals.models import ChangeRequest
from approvals.selectors import policy_of
from approvals.services.requests import locked_request, rebase_request, refuse_clashes, require_editor, require_reach
from approvals.services.standing import missing_of
from approvals.services.trials import Outcome, make, outcome_of
from audit.actors import Actor
from flags.services import gate
from tenancy.callers.principals import Principal, principal_of_user
from tenancy.errors import Conflict, Forbidden, Invalid, ServiceError
from tenancy.models import Environment

log = structlog.get_logger(__name__)
_State = ChangeRequest.State
_DUE_AT_ONCE: Final = 50


class ContentMovedError(Exception):
    """What would be served is not what the request shows any more: the base has moved."""


def publish_request(*, principal: Principal, request: ChangeRequest) -> ChangeRequest:
    """Serve what the request proposes. Raises Forbidden, Conflict `approval_required`, `objected`, `frozen` and others.

    Where the base has moved so that other content would be served, the request is rebased first, so that reviewers see
    that content; approvals of the former do not count for it.
    """
    require_editor(principal, request.environment)
    return _publish_or_rebase(request, principal.actor)


def emergency_publish(*, principal: Principal, request: ChangeRequest, reason: str) -> ChangeRequest:
    """Serve it without the approvals, by the right that the policy names. A review is owed afterwards.

    It passes a freeze, and no objection. Raises Invalid without a reason, Forbidden, Conflict.
    """
    if not reason.strip():
        raise Invalid("Say what the emergency is: everybody concerned is told.", attr="reason", code="required")
    return _publish_or_rebase(request, principal.actor, emergency_reason=reason, principal=principal)


def publish_by_itself(request: ChangeRequest) -> ChangeRequest:
    """Publish a request that may be, as the schedule on behalf of its author; else say in it why not.

    In a freeze it waits for the end.
    """
    if missing_of(request) and request.publish_at is None:
        # It waits for reviews, and says so by what is missing; a review, a policy or a freeze's end wakes it.
        # Unless that happened since it was read.
        same = ChangeRequest.objects.filter(pk=request.pk, due_at=request.due_at, publish_at=None)
        same.update(due_at=None)
        return request
    try:
        return _publish_or_rebase(request, _schedule_for(request))
    except ServiceError as refusal:
        return _hold(request, refusal)
    except Exception:
        # One request that cannot be made keeps nobody else's back; it is held, and its author told.
        log.exception("change_request_broken", request=str(request.pk))
        return _hold(request, Conflict("It could not be made, and the log says why. Propose it anew.", code="failed"))


def publish_due(now: datetime) -> int:
    """Publish the requests whose instant has come. Return how many were."""
    due = ChangeRequest.objects.filter(state=_State.OPEN, due_at__lte=now).order_by("due_at")
    published = 0
    for request in due.select_related("environment__project__organization")[:_DUE_AT_ONCE]:
        published += publish_by_itself(request).state == _State.PUBLISHED
    return published


def _schedule_for(request: ChangeRequest) -> Actor:
    return Actor(kind="schedule", id=str(request.author_id or ""), label=f"schedule for {request.author_label}"[:254])


def _publish_or_rebase(
    request: ChangeRequest, actor: Actor, *, emergency_reason: str = "", principal: Principal | None = None
) -> ChangeRequest:
    try:
        return _publish(request, actor, emergency_reason=emergency_reason, principal=principal)
    except ContentMovedError:
        if request.author is None:
            raise Conflict("Its author is gone; propose it anew.", code="author_gone") from None
        rebased = rebase_request(principal=principal_of_user(request.author), request=request)
        missing = missing_of(rebased, is_emergency=bool(emergency_reason))
        if missing:
            refusal = _refusal(rebased, [problem.detail for problem in missing], missing[0].why)
            # Reviewers see what would be served now, whichever way the publication was asked for.
            refusal.is_work_kept = True
            raise refusal from None
        return _publish(rebased, actor, emergency_reason=emergency_reason, principal=principal)


@transaction.atomic
def _publish(
    request: ChangeRequest, actor: Actor, *, emergency_reason: str, principal: Principal | None
) -> ChangeRequest:
    row = locked_request(request)
    is_emergency = bool(emergency_reason)
    if row.state != _State.OPEN:
        raise Conflict(
            f"The change request is {row.state}; only an open one can be published.", code="wrong_state", attr="state"
        )
    # Before anything is made: an objection, and a base that somebody else has changed.
    missing = [problem for problem in missing_of(row, is_emergency=is_emergency) if problem.why == "objected"]
    if missing:
        raise _refusal(row, [problem.detail for problem in missing], "objected")
    refuse_clashes(row)
    before = listed_request(row)
    with gate.permitted() as watch:
        make(actor, row.environment, row.changes, f"{row.title} (change request)")
    outcome = outcome_of(watch, row.changes)
    if outcome.content != row.content:
        raise ContentMovedError
    _require_author(row, outcome)
    missing = missing_of(row, content=outcome.content, asks=outcome.asks, is_emergency=is_emergency)
    if missing:
        row.asks = [ask_resource(ask) for ask in outcome.asks]
        raise _refusal(row, [problem.detail for problem in missing], missing[0].why)
    for one in outcome.touched:
        # Where no policy asks, nobody is named for emergencies, and a freeze holds as it does for every change.
        if is_emergency and policy_of(one.environment).is_asking:
            _require_emergency_right(principal, one.environment)
        elif any(part.is_served_changed for part in one.parts) and not is_out_of_freezes(watch.pieces, one.environment):
            refuse_frozen(one.environment, actor)
    row.state, row.published_at, row.published_by = _State.PUBLISHED, timezone.now(), actor.label
    row.environment.refresh_from_db(fields=["config_version"])
    row.published_version = row.environment.config_version
    row.due_at, row.held_because = None, ""
    row.emergency_reason, row.is_review_owed = emergency_reason, is_emergency
    for name, value in outcome.stored().items():
        setattr(row, name, value)
    row.version += 1
    row.save()
    audit.services.record(
        actor=actor,
        action="change_request.emergency_published" if is_emergency else "change_request.published",
        at=row.environment,
        key=str(row.pk),
        before=before,
        after=listed_request(row),
        reason=emergency_reason,
    )
    return row


def _require_author(request: ChangeRequest, outcome: Outcome) -> None:
    """What is published is the author's change: whoever lost the right to make it publishes nothing by others."""
    if request.author is None or not request.author.is_active:
        raise Forbidden("The author of the request is gone; somebody who may make the change proposes it anew.")
    require_reach(principal_of_user(request.author), outcome)


def _require_emergency_right(principal: Principal | None, environment: Environment) -> None:
    policy = policy_of(environment)
    user = people.user_of(principal.actor) if principal is not None else None
    if not policy.emergency_roles or not people.is_among(user, environment, roles=policy.emergency_roles):
        named = ", ".join(policy.emergency_roles) or "nobody"
        raise Forbidden(f"In {environment.key} an emergency is published by: {named}. A kill needs no approval.")


def _refusal(request: ChangeRequest, details: list[str], why: str) -> Conflict:
    code = "objected" if why == "objected" else "wrong_state" if why == "not_open" else "approval_required"
    refusal = gate.Refused(" ".join(details), code=code)
    refusal.extra = {"asks": request.asks, "missing": details}
    return refusal


@transaction.atomic
def _hold(request: ChangeRequest, refusal: ServiceError) -> ChangeRequest:
    row = locked_request(request)
    if row.state != _State.OPEN:
        return row
    freeze = refusal.extra.get("freeze") if refusal.problems[0].code == "frozen" else None
    is_said, why = row.held_because == str(refusal), str(refusal)
    row.due_at, row.held_because = freeze["until"] if freeze else None, why
    if is_said:
        row.save(update_fields=["due_at"])
        return row
    row.version += 1
    row.save(update_fields=["due_at", "held_because", "version", "updated_at"])
    log.info("change_request_held", request=str(row.pk), why=refusal.problems[0].code)
    audit.services.record(
        actor=_schedule_for(row),
        action="change_request.held",
        at=row.environment,
        key=str(row.pk),
        after={"title": row.title, "why": why, "until": row.due_at},
        reason=why,
    )
    return row
