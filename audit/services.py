"""Every write to the log."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection
from django.utils import timezone

from audit.actions import check_payload, get_action
from audit.actors import Actor
from audit.chain import canonical, digest, keys
from audit.models import Entry
from audit.places import PLATFORM, HasPlace
from audit.redaction import redact
from audit.signals import recorded

_encoder = DjangoJSONEncoder()
# A constant that no other advisory lock of ours uses.
_LOCK_SPACE = 0x0A0D17


@dataclass(frozen=True, slots=True)
class Act:
    """One registered action on the thing `key`, with what the thing was before and after it."""

    action: str
    key: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    reason: str = ""


def record(
    *,
    actor: Actor,
    action: str,
    at: HasPlace | None,
    key: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
) -> Entry:
    """Append one row in the caller's transaction: it commits with the change it describes, or not at all.

    `at` is the organization, project or environment in which it happens; None is the platform itself. The chain's lock
    is held until the transaction ends, so that positions have no gap and hashes chain in commit order; call it last in
    a transaction. Raises RuntimeError outside a transaction, UnregisteredActionError and PayloadError.
    """
    return record_each(actor=actor, at=at, acts=[Act(action, key, before, after, reason)])[0]


def record_each(*, actor: Actor, at: HasPlace | None, acts: Iterable[Act]) -> list[Entry]:
    """Append a row for each of many acts in one place, with one lock and one insert. Otherwise as `record`."""
    if not connection.in_atomic_block:
        raise RuntimeError("What is audited must be audited inside the transaction of the change it records.")
    place = PLATFORM if at is None else at.audit_place
    organization_id = place.organization_id
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK_SPACE, (organization_id or 0) % 2**31])
    # The rows before it are large; of the last one only its position and hash are needed.
    chain = Entry.objects.filter(organization_id=organization_id).order_by("-position")
    position, previous_hash = chain.values_list("position", "hash").first() or (0, "")
    now, key = timezone.now(), keys()[0]
    entries = []
    for act in acts:
        action = get_action(act.action)
        check_payload(action, act.before, act.after)
        position += 1
        before, after = _plain(act.before), _plain(act.after)
        entry = Entry(
            organization_id=organization_id,
            position=position,
            occurred_at=now,
            actor_kind=actor.kind,
            actor_id=actor.id,
            actor_label=actor.label,
            credential=actor.credential,
            request_id=actor.request_id,
            action=action.name,
            entity_type=action.entity_type,
            entity_key=act.key,
            project=place.project,
            environment=place.environment,
            before=before,
            after=after,
            changes=list(diff(before, after)),
            reason=act.reason,
            previous_hash=previous_hash,
            key_id=key.id,
        )
        entry.hash = previous_hash = digest(entry, key)
        entries.append(entry)
    Entry.objects.bulk_create(entries)
    recorded.send(sender=Entry, entries=entries)
    return entries


def _plain(value: Mapping[str, Any] | None) -> Any:
    """Return the value as JSON will return it, so that a row has the same hash before and after it is stored."""
    return None if value is None else redact(json.loads(_encoder.encode(value)))


def diff(before: Any, after: Any, path: str = "") -> Iterator[dict[str, Any]]:
    """Yield `{path, before, after}` for each leaf that differs; lists compare as wholes below objects of objects."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from diff(before.get(key), after.get(key), f"{path}.{key}" if path else key)
    elif path and not is_same(before, after):
        yield {"path": path, "before": before, "after": after}


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON. In Python `True == 1`; in JSON they differ."""
    if one != other:
        return False
    return isinstance(one, str) or canonical(one) == canonical(other)
