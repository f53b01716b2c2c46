"""Creating, changing and deleting segments. Each change reaches every evaluator, as a flag's does."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from openflagship.engine import DecodeError, decode_segment, links

import audit.services
from audit.actors import Actor
from audit.services import is_same
from flags.documents import segment_document, segment_resource
from flags.models import Change, Segment
from flags.selectors import get_segment, segment_users, segments_in
from flags.services import gate, version_log
from flags.services.costs import cost_problems
from flags.signals import segment_changed
from tenancy.errors import Conflict, Invalid, Problem
from tenancy.models import Environment
from tenancy.refusals import refuse_if_any, refuse_read_only, refuse_stale, refuse_unknown
from tenancy.services import clean

FIELDS = ("key", "name", "included", "excluded", "conditions")
_READ_ONLY_FIELDS = ("version", "createdAt", "updatedAt")


@gate.act("segment.create")
@transaction.atomic
def create_segment(*, actor: Actor, environment: Environment, payload: Mapping[str, Any]) -> tuple[Segment, bool]:
    """Create a segment. A segment that exists with the same content is returned as it is.

    Raises Invalid (code `segment_cycle` for segments that use each other), or Conflict `key_exists`.
    """
    locked = version_log.lock_environment(environment)
    refuse_unknown(payload, (*FIELDS, *_READ_ONLY_FIELDS))
    segment = Segment(environment=locked, key=payload.get("key", ""), version=1)
    _apply(segment, payload)
    existing = Segment.objects.filter(environment=environment, key=segment.key).first()
    if existing is not None:
        there, wanted = segment_resource(existing), segment_resource(segment)
        if any(not is_same(there[name], wanted[name]) for name in payload if name in FIELDS):
            raise Conflict(
                f"There is already a segment {segment.key!r} with other content.",
                code="key_exists",
                attr="key",
                current=there,
            )
        return existing, False
    _check(segment)
    segment.save(force_insert=True)
    _commit(actor, segment, locked, "segment.created", before=None)
    return segment, True


@gate.act("segment.update")
@transaction.atomic
def update_segment(
    *,
    actor: Actor,
    environment: Environment,
    key: str,
    payload: Mapping[str, Any],
    version: int | None,
    is_partial: bool = True,
    reason: str = "",
) -> Segment:
    """Change a segment. With `is_partial` a field that was not sent stays, else it is emptied."""
    locked = version_log.lock_environment(environment)
    segment, before = _changed(environment, key, payload, version, is_partial=is_partial)
    segment.save()
    _commit(actor, segment, locked, "segment.updated", before=before, reason=reason)
    segment_changed.send(sender=Segment, segment=segment, actor=actor, before=before, after=segment_resource(segment))
    return segment


def check_segment_change(
    *, environment: Environment, key: str, payload: Mapping[str, Any], version: int | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Refuse what `update_segment` would refuse. Returns the segment before and after the change, as API resources."""
    segment, before = _changed(environment, key, payload, version, is_partial=True)
    return before, segment_resource(segment)


@gate.act("segment.delete")
@transaction.atomic
def delete_segment(*, actor: Actor, environment: Environment, key: str, reason: str = "") -> None:
    """Delete a segment that nothing uses. Raises NotFound, or Conflict `in_use` naming each user."""
    locked = version_log.lock_environment(environment)
    segment = get_segment(environment, key)
    users = segment_users(segment)
    if users:
        raise Conflict(
            f"{key!r} is still used by: {', '.join(users)}. Take it out there first.", code="in_use", attr="key"
        )
    before = segment_resource(segment)
    segment.delete()
    version_log.append(
        environment=locked,
        actor=actor,
        kind=Change.Kind.SEGMENT_UPDATED,
        entity=Change.Entity.SEGMENT,
        key=key,
        document=None,
    )
    audit.services.record(
        actor=actor,
        action="segment.deleted",
        at=locked,
        key=key,
        before=before,
        reason=reason,
    )


def _changed(
    environment: Environment, key: str, payload: Mapping[str, Any], version: int | None, *, is_partial: bool
) -> tuple[Segment, dict[str, Any]]:
    """The segment with the change, checked and not yet saved, and its resource before."""
    segment = get_segment(environment, key)
    before = segment_resource(segment)
    refuse_stale("segment", before, version)
    refuse_unknown(payload, (*FIELDS, *_READ_ONLY_FIELDS))
    refuse_read_only(payload, before, {"createdAt": "", "updatedAt": ""})
    if payload.get("key", key) != key:
        raise Invalid("The key of a segment never changes; create another segment.", attr="key", code="immutable")
    empty: dict[str, Any] = {} if is_partial else {"name": key, "included": [], "excluded": [], "conditions": None}
    _apply(segment, {**empty, **payload})
    segment.version += 1
    _check(segment)
    return segment, before


def _apply(segment: Segment, payload: Mapping[str, Any]) -> None:
    for name in ("name", "included", "excluded", "conditions"):
        if name in payload:
            setattr(segment, name, payload[name])
    segment.name = segment.name or segment.key
    # Each id once, in the order given, since people read these lists.
    for name in ("included", "excluded"):
        ids = getattr(segment, name)
        if all(isinstance(user_id, str) for user_id in ids):
            setattr(segment, name, list(dict.fromkeys(ids)))


def _check(segment: Segment) -> None:
    try:
        decode_segment(segment_document(segment))
    except DecodeError as error:
        raise Invalid([Problem(found.path, found.code, found.message) for found in error.problems]) from error
    refuse_if_any(cost_problems(segment.conditions, "conditions"))
    clean(segment)
    # Without the lists of ids, which may be long.
    others = Segment.objects.filter(environment=segment.environment_id, conditions__isnull=False)
    graph = {key: segments_in(tree) for key, tree in others.values_list("key", "conditions")}
    graph[segment.key] = segments_in(segment.conditions)
    cycle = links.find_cycle(graph)
    if cycle:
        raise Invalid(
            f"These segments would use each other: {' → '.join(cycle)}. Remove one of them.",
            attr="conditions",
            code="segment_cycle",
        )


def _commit(
    actor: Actor,
    segment: Segment,
    environment: Environment,
    action: str,
    *,
    before: dict[str, Any] | None,
    reason: str = "",
) -> None:
    version_log.append(
        environment=environment,
        actor=actor,
        kind=Change.Kind.SEGMENT_UPDATED,
        entity=Change.Entity.SEGMENT,
        key=segment.key,
        document=segment_document(segment),
    )
    audit.services.record(
        actor=actor,
        action=action,
        at=environment,
        key=segment.key,
        before=before,
        after=segment_resource(segment),
        reason=reason,
    )
