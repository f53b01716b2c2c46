"""Scheduled changes: made, changed and cancelled by people, and published when they are due.

A change knows what its fields were when it was made. Where they are the same when it is due, it is published on the
version that is there then; where somebody changed one of them, it is held. So it never overwrites.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.db import transaction
from django.utils import timezone
from rest_framework.serializers import Serializer

import audit.services
from audit.actors import Actor
from audit.export_formats import json_bytes
from audit.services import is_same
from experiments.api.serializers import ExperimentSerializer
from experiments.documents import experiment_resource
from experiments.selectors import get_experiment
from experiments.services import update_experiment
from flags.api.serializers import FlagSerializer, SegmentSerializer
from flags.documents import flag_resource, segment_resource
from flags.fields import SHARED_FIELDS
from flags.selectors import get_config, get_segment
from flags.services import gate, update_flag, update_segment, version_log
from rollouts.documents import scheduled_resource
from rollouts.models import ScheduledChange
from rollouts.planning.plan_fields import read_instant
from rollouts.planning.recurrence import drawn_in, is_cron, next_due
from tenancy import access
from tenancy.api.documents import checked
from tenancy.callers.principals import Principal, principal_of_user
from tenancy.errors import Conflict, Forbidden, Invalid, NotFound, ServiceError
from tenancy.models import Environment, User
from tenancy.refusals import refuse_if_any, refuse_read_only, refuse_stale, refuse_unknown, unknown_fields
from tenancy.roles import Role

_State = ScheduledChange.State
_FIELDS: Final = ("resource", "patch", "baseVersion", "at", "cron", "zone", "title")
_SHOWN: Final = dict.fromkeys(
    ("id", "state", "reason", "nextDueAt", "publishedAt", "createdBy", "createdAt", "updatedAt"), ""
)
MOST_WAITING: Final = 1_000
_SHARED: Final = frozenset(field.name for field in SHARED_FIELDS)
# How often a change that may not be published just now is looked at again.
RETRY_AFTER: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one kind of thing is read and changed. `form` checks a patch, as the thing's own route does."""

    form: type[Serializer[Any]]
    read: Callable[[Environment, str], Mapping[str, Any]]
    write: Callable[[Actor, Environment, str, Mapping[str, Any], int | None, str], object]


_KINDS: Final[Mapping[str, _Kind]] = {
    "flag": _Kind(
        FlagSerializer,
        lambda environment, key: flag_resource(get_config(environment, key)),
        lambda actor, environment, key, patch, version, reason: update_flag(
            actor=actor, environment=environment, key=key, payload=patch, version=version, reason=reason
        ),
    ),
    "segment": _Kind(
        SegmentSerializer,
        lambda environment, key: segment_resource(get_segment(environment, key)),
        lambda actor, environment, key, patch, version, reason: update_segment(
            actor=actor, environment=environment, key=key, payload=patch, version=version, reason=reason
        ),
    ),
    "experiment": _Kind(
        ExperimentSerializer,
        lambda environment, key: experiment_resource(get_experiment(environment, key)),
        lambda actor, environment, key, patch, version, _reason: update_experiment(
            actor=actor, environment=environment, pk=key, payload=patch, version=version
        ),
    ),
}


@transaction.atomic
def schedule_change(*, principal: Principal, environment: Environment, payload: Mapping[str, Any]) -> ScheduledChange:
    """Schedule a patch, which is validated as if it were made now. Raises Invalid, NotFound, Forbidden, Conflict."""
    locked = version_log.lock_project(environment.project)[environment.pk]
    refuse_unknown(payload, (*_FIELDS, *_SHOWN, "version"))
    kind, key = _resource(payload.get("resource"))
    if ScheduledChange.objects.filter(environment=locked, state=_State.WAITING).count() >= MOST_WAITING:
        raise Conflict(
            f"At most {MOST_WAITING:,} changes wait in an environment; delete one first.", code="limit_reached"
        )
    change = ScheduledChange(
        environment=locked,
        resource_type=kind,
        resource_key=key,
        author=_author(principal),
        created_by=principal.actor.label,
    )
    _set(change, principal, payload)
    change.save(force_insert=True)
    _record(principal.actor, change, "created", after=scheduled_resource(change))
    return change


@transaction.atomic
def update_scheduled(
    *, principal: Principal, change: ScheduledChange, payload: Mapping[str, Any], version: int | None
) -> ScheduledChange:
    """Change its time or patch; one that was held waits again. The author is then whoever changes it.

    Another time alone leaves it on the version that it was made for. All else names the version that was read, so that
    nothing is overwritten which nobody looked at.
    """
    environments = version_log.lock_project(change.environment.project)
    locked = _locked(change)
    locked.environment = environments[locked.environment_id]
    refuse_unknown(payload, (*_FIELDS, *_SHOWN, "version"))
    before = scheduled_resource(locked)
    refuse_stale("scheduled change", before, version)
    refuse_read_only(payload, before, _SHOWN)
    if locked.state == _State.PUBLISHED:
        raise Conflict("It is at its end; schedule another change.", code="scheduled_finished", attr="state")
    if "resource" in payload and _resource(payload["resource"]) != (locked.resource_type, locked.resource_key):
        raise Invalid("It is about another thing; schedule another change.", attr="resource", code="immutable")
    locked.author = _author(principal)
    is_moved_alone = locked.state == _State.WAITING and not {"patch", "baseVersion"} & payload.keys()
    locked.state, locked.reason = _State.WAITING, ""
    timing = {"at": before["at"], "cron": before["cron"]} if not {"at", "cron"} & payload.keys() else {}
    unchanged = {"patch": locked.patch, "zone": locked.zone, "title": locked.title, **timing}
    _set(locked, principal, {**unchanged, **payload}, keeps_base=is_moved_alone)
    locked.version += 1
    locked.save()
    _record(principal.actor, locked, "updated", before=before, after=scheduled_resource(locked))
    return locked


@transaction.atomic
def cancel_scheduled(*, actor: Actor, change: ScheduledChange, reason: str = "") -> None:
    """Take it back. The row goes, and the audit log keeps what it was."""
    locked = _locked(change)
    _record(actor, locked, "cancelled", before=scheduled_resource(locked), reason=reason)
    locked.delete()


def _author(principal: Principal) -> User | None:
    return User.objects.filter(pk=principal.user_id).first() if principal.user_id else None


def _locked(change: ScheduledChange) -> ScheduledChange:
    found = ScheduledChange.objects.select_for_update(of=("self",)).filter(pk=change.pk)
    locked = found.select_related("environment__project__organization", "author").first()
    if locked is None:
        raise NotFound("There is no such scheduled change.")
    return locked


def _resource(sent: Any) -> tuple[str, str]:
    if not isinstance(sent, Mapping):
        raise Invalid("Send {type, key}.", attr="resource", code="required")
    refuse_if_any(unknown_fields(sent, ("type", "key"), within="resource"))
    kind, key = sent.get("type"), sent.get("key")
    if kind not in _KINDS:
        raise Invalid(f"Use one of: {', '.join(_KINDS)}.", attr="resource.type", code="invalid_choice")
    if not isinstance(key, str) or not key:
        raise Invalid("Name the key.", attr="resource.key", code="required")
    return str(kind), key


def _set(
    change: ScheduledChange, principal: Principal, payload: Mapping[str, Any], *, keeps_base: bool = False
) -> None:
    """Put what was sent on the row, validated as a change that is made now."""
    _set_time(change, payload)
    patch = payload.get("patch")
    if not isinstance(patch, Mapping) or not patch or "version" in patch:
        raise Invalid("Send the fields to change; the version stands in baseVersion.", attr="patch", code="required")
    title = payload.get("title") or ""
    if not isinstance(title, str) or len(title) > 200:
        raise Invalid("Give a title of at most 200 characters.", attr="title", code="max_length")
    change.patch, change.title = dict(patch), title
    require_right(principal, change)
    if keeps_base:
        _rehearse(principal.actor, change)
        return
    current = _KINDS[change.resource_type].read(change.environment, change.resource_key)
    base_version = payload.get("baseVersion")
    if isinstance(base_version, bool) or not isinstance(base_version, int):
        raise Invalid("Send the version that the change was made for.", attr="baseVersion", code="required")
    refuse_stale(change.resource_type, current, base_version)
    _rehearse(principal.actor, change)
    change.base_version = base_version
    change.base = _plain({name: current.get(name) for name in change.patch})


def _set_time(change: ScheduledChange, payload: Mapping[str, Any]) -> None:
    cron, zone = payload.get("cron") or "", payload.get("zone") or "UTC"
    try:
        ZoneInfo(str(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Invalid(
            f"There is no time zone {zone!r}; name one as Europe/Berlin.", attr="zone", code="unknown_zone"
        ) from error
    if bool(cron) == bool(payload.get("at")):
        raise Invalid("Say when: either `at` or `cron`.", attr="at", code="required")
    now = timezone.now()
    change.zone = zone
    if cron:
        if isinstance(cron, str) and (drawn := drawn_in(cron)):
            raise Invalid(
                f"{' and '.join(drawn)} would be an instant at random (R and H are); name the minute, hour or day.",
                attr="cron",
                code="invalid_cron",
            )
        if not isinstance(cron, str) or not is_cron(cron):
            raise Invalid(
                "Give a cron expression of five fields, such as 0 8 * * 1-5.", attr="cron", code="invalid_cron"
            )
        change.at, change.cron, change.due_at = None, cron, next_due(cron, zone, now)
        if change.due_at is None:
            raise Invalid("It never comes.", attr="cron", code="invalid_cron")
        return
    text, problems = read_instant(payload["at"], "at")
    refuse_if_any(problems)
    moment = datetime.fromisoformat(text)
    if moment <= now:
        raise Invalid("Give an instant that is to come.", attr="at", code="out_of_range")
    change.at, change.cron, change.due_at = moment, "", moment


def require_right(principal: Principal, change: ScheduledChange) -> None:
    """Raise Forbidden unless the caller may make this change: a flag's shared fields reach the whole project."""
    environment = change.environment
    access.require(principal, environment, Role.EDITOR)
    if change.resource_type == ScheduledChange.Resource.FLAG and _SHARED & change.patch.keys():
        access.require(principal, environment.project, Role.EDITOR)


def _rehearse(actor: Actor, change: ScheduledChange) -> None:
    """Make the change and take it back, so that whatever refuses it now refuses it at once."""
    with gate.trial():
        _write(actor, change, None, "")


def _write(actor: Actor, change: ScheduledChange, version: int | None, reason: str) -> None:
    kind = _KINDS[change.resource_type]
    patch = checked(kind.form, change.patch, is_partial=True)
    kind.write(actor, change.environment, change.resource_key, patch, version, reason)


def _plain(value: Any) -> Any:
    """As JSON gives it back, so that it compares with what is stored."""
    return json.loads(json_bytes(value))


# -- Publishing -----------------------------------------------------------------------------------------------------


def publish_due(change: ScheduledChange, *, environments: Mapping[int, Environment], now: datetime) -> None:
    """Publish a due change whose row and project are locked, or hold it with the reason."""
    change.environment = environments[change.environment_id]
    author = change.author
    label = author.get_username() if author else change.created_by
    actor = Actor(kind="schedule", id=str(author.pk) if author else "", label=f"schedule, for {label}"[:254])
    before = scheduled_resource(change)
    try:
        if author is None or not author.is_active:
            raise Forbidden(f"{label} is no longer a member, so nobody answers for the change.")
        principal = principal_of_user(author, organization_id=change.environment.project.organization_id)
        require_right(principal, change)
        with transaction.atomic():
            _publish(actor, change)
    except ServiceError as error:
        if isinstance(error, gate.Refused) and error.problems[0].code == "frozen":
            _wait_for_the_end(change, error, now)
        else:
            _hold(actor, change, before, str(error))
        return
    change.published_at, change.reason = now, ""
    change.due_at = next_due(change.cron, change.zone, now) if change.cron else None
    if change.due_at is None:
        change.state = _State.PUBLISHED
    change.version += 1
    change.save()
    _record(actor, change, "published", before=before, after=scheduled_resource(change))


def _publish(actor: Actor, change: ScheduledChange) -> None:
    kind = _KINDS[change.resource_type]
    current = kind.read(change.environment, change.resource_key)
    there = _plain({name: current.get(name) for name in change.patch})
    if all(is_same(there[name], change.patch[name]) for name in change.patch):
        return
    moved = [name for name in change.patch if not is_same(there[name], change.base.get(name))]
    if moved:
        raise Conflict(
            f"{', '.join(moved)} changed since the change was scheduled (version {change.base_version}; now "
            f"{current['version']}), and would have been overwritten.",
            code="version_conflict",
        )
    reason = f"Scheduled change: {change}"[:500]
    _write(actor, change, current["version"], reason)
    after = kind.read(change.environment, change.resource_key)
    _follow(change, there, after)


def _follow(change: ScheduledChange, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Let the author's other changes of the thing rest on this one: on at 08:00, off at 20:00."""
    change.base_version = after["version"]
    change.base = _plain({name: after.get(name) for name in change.patch})
    siblings = ScheduledChange.objects.select_for_update().filter(
        environment=change.environment,
        resource_type=change.resource_type,
        resource_key=change.resource_key,
        author=change.author,
        state=_State.WAITING,
    )
    for sibling in siblings.exclude(pk=change.pk):
        shared = sibling.patch.keys() & before.keys()
        if shared and all(is_same(sibling.base.get(name), before[name]) for name in shared):
            sibling.base = {**sibling.base, **{name: change.base[name] for name in shared}}
            sibling.base_version = change.base_version
            sibling.save(update_fields=["base", "base_version", "updated_at"])


def _wait_for_the_end(change: ScheduledChange, error: gate.Refused, now: datetime) -> None:
    """Of a freeze; where nobody set an end, look again in a minute."""
    change.due_at = error.extra.get("freeze", {}).get("until") or now + RETRY_AFTER
    change.reason = str(error)
    change.save(update_fields=["due_at", "reason", "updated_at"])


def _hold(actor: Actor, change: ScheduledChange, before: Mapping[str, Any], reason: str) -> None:
    change.state, change.reason = _State.HELD, reason
    change.version += 1
    change.save()
    _record(actor, change, "held", before=before, after=scheduled_resource(change), reason=reason[:500])


def _record(actor: Actor, change: ScheduledChange, act: str, **states: Any) -> None:
    audit.services.record(
        actor=actor, action=f"scheduled_change.{act}", at=change.environment, key=str(change.pk), **states
    )
