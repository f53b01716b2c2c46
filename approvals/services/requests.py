"""Proposing, changing, rebasing and cancelling change requests."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

import audit.services
from approvals.documents import listed_request
from approvals.models import ChangeRequest
from approvals.operations import Change, get_operation
from approvals.services.trials import Outcome, bases_of, clashes_of, on_trial
from audit.actors import Actor
from flags.services import version_log
from tenancy import access
from tenancy.callers.principals import Principal
from tenancy.errors import Conflict, Forbidden, Invalid
from tenancy.models import Environment, User
from tenancy.refusals import refuse_read_only, refuse_stale, refuse_unknown
from tenancy.roles import Role
from tenancy.services import clean

MOST_CHANGES: Final = 100
_FIELDS: Final = ("title", "description", "changes", "at", "publishWhenApproved", "draft", "version")
_State = ChangeRequest.State


@transaction.atomic
def create_request(
    *,
    principal: Principal,
    environment: Environment,
    payload: Mapping[str, Any],
    reverts: ChangeRequest | None = None,
) -> ChangeRequest:
    """Propose changes. They are made on trial: whatever would refuse them refuses them now.

    The caller needs the role editor wherever they change something. Raises Invalid, Forbidden, NotFound, Conflict.
    """
    refuse_unknown(payload, _FIELDS)
    request = ChangeRequest(
        environment=environment,
        author=User.objects.filter(pk=principal.user_id or 0).first(),
        author_label=principal.actor.label,
        state=_State.DRAFT if payload.get("draft") else _State.OPEN,
        reverts=reverts,
    )
    _describe(request, payload)
    _propose(principal, request, _changes(payload.get("changes")))
    request.save(force_insert=True)
    _record(principal.actor, request, "change_request.created", before=None)
    return request


@transaction.atomic
def update_request(
    *, principal: Principal, request: ChangeRequest, payload: Mapping[str, Any], version: int | None
) -> ChangeRequest:
    """Change a request that is not published. Other changes are other content, which nobody has approved."""
    row = locked_request(request)
    before = listed_request(row)
    refuse_stale("change request", before, version)
    refuse_unknown(payload, (*_FIELDS, "state"))
    refuse_read_only(payload, before, {"state": "Publish, cancel or open it by `draft`."})
    _require_open(row, "changed")
    require_author(principal, row)
    _describe(row, payload)
    if "draft" in payload:
        row.state = _State.DRAFT if payload["draft"] else _State.OPEN
    if "changes" in payload:
        _propose(principal, row, _changes(payload["changes"]))
        # Whoever wrote what is there now cannot be the second pair of eyes on it.
        row.author_id, row.author_label = principal.user_id, principal.actor.label
    return _save(principal.actor, row, "change_request.updated", before)


@transaction.atomic
def rebase_request(*, principal: Principal, request: ChangeRequest, keep: bool = False) -> ChangeRequest:
    """Build the request on what is there now. Approvals stay only where exactly the same would be served.

    Where somebody else changed the same fields it is refused, with both; with `keep` the request's values win.
    Raises Conflict `change_conflict`.
    """
    row = locked_request(request)
    _require_open(row, "rebased")
    require_editor(principal, row.environment)
    before = listed_request(row)
    if not keep:
        refuse_clashes(row)
    _propose(principal, row, [{**change, "baseVersion": None} for change in row.changes])
    return _save(principal.actor, row, "change_request.rebased", before)


@transaction.atomic
def cancel_request(*, principal: Principal, request: ChangeRequest, reason: str = "") -> ChangeRequest:
    """Cancel a request; it blocks nothing. Cancelling again changes nothing."""
    row = locked_request(request)
    if row.state == _State.CANCELLED:
        return row
    _require_open(row, "cancelled")
    require_author(principal, row)
    before = listed_request(row)
    row.state, row.due_at = _State.CANCELLED, None
    return _save(principal.actor, row, "change_request.cancelled", before, reason)


def locked_request(request: ChangeRequest) -> ChangeRequest:
    """Lock the project's environments, then the request: the order of every writer."""
    version_log.lock_project(request.environment.project)
    found = ChangeRequest.objects.select_for_update(of=("self",)).select_related("environment__project__organization")
    return found.get(pk=request.pk)


def require_editor(principal: Principal, environment: Environment) -> None:
    access.require(principal, environment, Role.EDITOR)


def require_author(principal: Principal, request: ChangeRequest) -> None:
    """The author may, as long as they may change things here, and an admin."""
    is_author = request.author_id is not None and request.author_id == principal.user_id
    access.require(principal, request.environment, Role.EDITOR if is_author else Role.ADMIN)


def refuse_clashes(request: ChangeRequest) -> None:
    """Raise Conflict `change_conflict` where the base has moved under the fields that the request changes."""
    found = clashes_of(request.changes, request.bases, bases_of(request.environment, request.changes))
    if found:
        fields = ", ".join(sorted({f"{clash['resource']['key']}: {clash['field']}" for clash in found}))
        refusal = Conflict(
            f"Somebody else has changed the same since: {fields}. Look at both, and rebase the request with what is to "
            "be served.",
            code="change_conflict",
        )
        refusal.extra = {"clashes": found}
        raise refusal


def _describe(request: ChangeRequest, payload: Mapping[str, Any]) -> None:
    if "title" in payload or not request.title:
        request.title = str(payload.get("title") or "").strip()
    request.description = payload.get("description", request.description)
    request.is_automatic = payload.get("publishWhenApproved", request.is_automatic)
    if "at" in payload:
        request.publish_at = request.due_at = payload["at"]
        request.held_because = ""
        if request.publish_at is not None and request.publish_at <= timezone.now():
            raise Invalid("Name an instant that is still to come, or none.", attr="at", code="out_of_range")
    if not request.title:
        raise Invalid("Say in a title what this changes.", attr="title", code="required")


def _changes(sent: Any) -> list[Change]:
    if not isinstance(sent, list) or not sent:
        raise Invalid("Send one change at least.", attr="changes", code="required")
    if len(sent) > MOST_CHANGES:
        raise Invalid(f"A request has at most {MOST_CHANGES} changes.", attr="changes", code="too_many")
    return [
        {
            "resource": {"type": change["resource"]["type"], "key": change["resource"]["key"]},
            "action": change.get("action") or "update",
            "patch": change.get("patch") or {},
            "baseVersion": change.get("baseVersion"),
        }
        for change in sent
    ]


def _propose(principal: Principal, request: ChangeRequest, changes: Sequence[Change]) -> None:
    """Put the changes, their bases and what they would serve onto the unsaved request."""
    environment = request.environment
    version_log.lock_project(environment.project)
    bases = bases_of(environment, changes)
    _refuse_other_bases(changes, bases)
    _require_sources(principal, environment, changes)
    outcome = on_trial(principal.actor, environment, changes, request.title)
    require_reach(principal, outcome)
    if not any(part.is_changed for part in outcome.parts):
        raise Invalid("This changes nothing. Propose what differs.", attr="changes", code="nothing_served")
    request.bases = bases
    request.changes = [
        {**change, "baseVersion": None if base is None else base.get("version")}
        for change, base in zip(changes, bases, strict=True)
    ]
    for name, value in outcome.stored().items():
        setattr(request, name, value)
    clean(request)


def _refuse_other_bases(changes: Sequence[Change], bases: Sequence[Mapping[str, Any] | None]) -> None:
    for index, (change, base) in enumerate(zip(changes, bases, strict=True)):
        sent, noun = change["baseVersion"], change["resource"]["type"]
        if sent is not None and base is not None and sent != base.get("version"):
            raise Conflict(
                f"The {noun} is at version {base.get('version')}, and this was made for version {sent}. Read it again, "
                "and propose what is to change of it.",
                code="version_conflict",
                attr=f"changes[{index}].baseVersion",
                current=base,
            )


def _require_sources(principal: Principal, environment: Environment, changes: Sequence[Change]) -> None:
    """A copy reads from another environment, where the caller has to be able to look."""
    for change in changes:
        if get_operation(change["resource"]["type"], change["action"], attr="changes").name == "flag.copy":
            source = change["patch"].get("from")
            access.get_environment(principal, project=environment.project.key, environment=str(source))


def require_reach(principal: Principal, outcome: Outcome) -> None:
    """Whoever changes something in an environment has the role editor there. Raises Forbidden."""
    for one in outcome.touched:
        role = access.role_on(principal, one.environment)
        if role is None or not role.covers(Role.EDITOR):
            raise Forbidden(
                f"This reaches {one.environment.key}, where you need the role editor; leave out what belongs to the "
                "whole project."
            )


def _require_open(request: ChangeRequest, verb: str) -> None:
    if request.state not in {_State.DRAFT, _State.OPEN}:
        raise Conflict(f"The change request is {request.state}; it cannot be {verb}.", code="wrong_state", attr="state")


def _save(
    actor: Actor, request: ChangeRequest, action: str, before: Mapping[str, Any], reason: str = ""
) -> ChangeRequest:
    request.version += 1
    request.save()
    _record(actor, request, action, before=before, reason=reason)
    return request


def _record(
    actor: Actor, request: ChangeRequest, action: str, *, before: Mapping[str, Any] | None, reason: str = ""
) -> None:
    audit.services.record(
        actor=actor,
        action=action,
        at=request.environment,
        key=str(request.pk),
        before=before,
        after=listed_request(request),
        reason=reason,
    )
