"""Reverting a published request: a new request that brings back what was there."""

from collections.abc import Mapping
from typing import Any, Final

from django.db import transaction

from approvals.models import ChangeRequest
from approvals.operations import Change, resource_now
from approvals.services.requests import create_request
from experiments.definitions import METRIC_COLUMNS
from flags.services import layers, segments
from tenancy.callers.principals import Principal
from tenancy.errors import Conflict

# What a write of each takes; the key stays.
_FIELDS: Final = {"segment": segments.FIELDS, "layer": layers.FIELDS, "metric": METRIC_COLUMNS.keys()}


@transaction.atomic
def revert_request(*, principal: Principal, request: ChangeRequest) -> ChangeRequest:
    """Propose what undoes a published request. It asks for what every change asks. Raises Conflict `not_revertible`.

    The acts of an experiment cannot be undone: users were counted since.
    """
    if request.state != ChangeRequest.State.PUBLISHED:
        raise Conflict("Only what was published can be reverted.", code="wrong_state", attr="state")
    if any(change["resource"]["type"] == "rollout_plan" for change in request.changes):
        raise Conflict("Roll the plan back: people get what they had before it.", code="not_revertible")
    if any(change["resource"]["type"] == "experiment" for change in request.changes):
        raise Conflict(
            "The acts of an experiment cannot be undone: users were counted since. Complete or restart it.",
            code="not_revertible",
        )
    here = [part for part in request.parts if part["environment"] == request.environment.key]
    return create_request(
        principal=principal,
        environment=request.environment,
        payload={
            "title": f"Revert: {request.title}"[:200],
            "changes": [change for part in here for change in _undo(request, part)],
        },
        reverts=request,
    )


def _undo(request: ChangeRequest, part: Mapping[str, Any]) -> list[Change]:
    kind, before, after = part["entity"], part["before"], part["after"]
    name = {"type": kind, "key": part["key"]}
    if kind == "flag":
        if before is None or after is None:
            return [{"resource": name, "action": "archive" if before is None else "restore", "patch": {}}]
        return _undo_flag(name, part)
    if before is None:
        return [{"resource": name, "action": "delete", "patch": {}}]
    patch = {field: before[field] for field in _FIELDS[kind] if field != "key" and field in before}
    is_there = resource_now(request.environment, kind, part["key"]) is not None
    return [{"resource": name, "action": "update" if is_there else "create", "patch": patch}]


def _undo_flag(name: dict[str, Any], part: Mapping[str, Any]) -> list[Change]:
    """The version from before brings back ranges and ids; what evaluators do not get comes back by its fields."""
    was, now = part["presentation_before"], part["presentation"]
    patch = {field: value for field, value in was.items() if value != now.get(field)}
    changes: list[Change] = []
    if _is_document_changed(part):
        changes.append({"resource": name, "action": "rollback", "patch": {"version": part["before"]["version"]}})
    if patch:
        changes.append({"resource": name, "action": "update", "patch": patch})
    return changes


def _is_document_changed(part: Mapping[str, Any]) -> bool:
    """Whether the document itself differs, and not only what people read beside it."""
    before, after = ({**part[name], "version": 0} for name in ("before", "after"))
    return before != after
