"""Every write to the log, and the check that nobody altered a row afterwards."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction
from django.utils import timezone

from audit.actions import check_payload, get_action
from audit.actors import Actor
from audit.models import Entry
from audit.places import PLATFORM, HasPlace

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
    now = timezone.now()
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
        )
        entry.hash = previous_hash = digest(entry)
        entries.append(entry)
    return Entry.objects.bulk_create(entries)


def _plain(value: Mapping[str, Any] | None) -> Any:
    """Return the value as JSON will return it, so that a row has the same hash before and after it is stored."""
    return None if value is None else json.loads(_encoder.encode(value))


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


def canonical(value: Any) -> str:
    """Return canonical JSON: each value has one spelling. Django's encoder writes instants, UUIDs and decimals."""
    return json.dumps(_whole(value), sort_keys=True, separators=(",", ":"), default=_encoder.default)


def digest(entry: Entry) -> str:
    """SHA-256 over the previous row's hash and every field of this one, as canonical JSON."""
    content = [
        entry.organization_id,
        entry.position,
        entry.occurred_at.isoformat(timespec="microseconds"),
        entry.actor_kind,
        entry.actor_id,
        entry.actor_label,
        entry.credential,
        entry.request_id,
        entry.action,
        entry.entity_type,
        entry.entity_key,
        entry.project,
        entry.environment,
        entry.before,
        entry.after,
        entry.changes,
        entry.reason,
        entry.previous_hash,
    ]
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def _whole(value: Any) -> Any:
    """Turn whole floats into integers, because jsonb returns 1e16 as 10000000000000000."""
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@dataclass(frozen=True, slots=True)
class Broken:
    """The first broken row of a chain, and the reason."""

    entry_id: int
    position: int
    why: str


def verify(organization_id: int | None) -> Broken | None:
    """Walk one organization's chain from its first row; return the first broken link, or None when all hold."""
    previous_hash, expected = "", 1
    rows = Entry.objects.filter(organization_id=organization_id).order_by("position")
    with transaction.atomic():
        for entry in rows.iterator(chunk_size=2000):
            if entry.position != expected:
                return Broken(entry.pk, entry.position, f"position {expected} is missing")
            if entry.previous_hash != previous_hash:
                return Broken(entry.pk, entry.position, "does not follow the row before it")
            if digest(entry) != entry.hash:
                return Broken(entry.pk, entry.position, "its content was altered")
            previous_hash, expected = entry.hash, expected + 1
    return None
