"""Making, changing and deleting freezes. Each keeps the marks of the environments that it reaches."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from zoneinfo import available_timezones

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

import audit.services
from approvals.documents import freeze_resource
from approvals.models import Freeze
from approvals.rules.windows import LONGEST
from approvals.services.guarding import environments_in, mark_guarded, reach_of
from approvals.services.waiting import look_again
from audit.actors import Actor
from rollouts.planning.recurrence import drawn_in, is_cron
from rollouts.services import wake_frozen
from tenancy.errors import Problem
from tenancy.models import Environment, Organization, Project
from tenancy.refusals import refuse_if_any, refuse_read_only, refuse_stale, refuse_unknown, unknown_fields
from tenancy.services import clean

Place = Environment | Project | Organization
_FIELDS: Final = ("name", "reason", "since", "until", "cron", "durationMinutes", "zone", "exempt")
_SHOWN: Final = dict.fromkeys(("id", "createdBy", "createdAt", "updatedAt"), "") | {
    "project": "A freeze stays where it was made; make another.",
    "environment": "A freeze stays where it was made; make another.",
}


@transaction.atomic
def create_freeze(*, actor: Actor, place: Place, payload: Mapping[str, Any]) -> Freeze:
    """Make a freeze of an organization, a project or an environment. Raises Invalid."""
    refuse_unknown(payload, (*_FIELDS, "project", "environment", "version"))
    freeze = Freeze(since=timezone.now(), created_by=actor.label)
    match place:
        case Environment():
            freeze.environment, freeze.project = place, place.project
            freeze.organization = place.project.organization
        case Project():
            freeze.project, freeze.organization = place, place.organization
        case Organization():
            freeze.organization = place
    _set(freeze, payload)
    freeze.save(force_insert=True)
    mark_guarded(environments_in(place))
    audit.services.record(
        actor=actor, action="freeze.created", at=freeze, key=str(freeze.pk), after=freeze_resource(freeze)
    )
    return freeze


@transaction.atomic
def update_freeze(*, actor: Actor, freeze: Freeze, payload: Mapping[str, Any], version: int | None) -> Freeze:
    """Change what is sent. Raises Invalid, Conflict `version_conflict`."""
    row = _locked(freeze)
    before = freeze_resource(row)
    refuse_stale("freeze", before, version)
    refuse_unknown(payload, (*_FIELDS, *_SHOWN, "version"))
    refuse_read_only(payload, before, _SHOWN)
    _set(row, payload)
    row.version += 1
    row.save()
    reach = reach_of(row)
    mark_guarded(reach)
    look_again(_environments(reach))
    wake_frozen(reach)
    after = freeze_resource(row)
    audit.services.record(actor=actor, action="freeze.updated", at=row, key=str(row.pk), before=before, after=after)
    return row


@transaction.atomic
def delete_freeze(*, actor: Actor, freeze: Freeze, reason: str = "") -> None:
    """Delete a freeze; what it held back may be published."""
    row = _locked(freeze)
    before, reach, key = freeze_resource(row), reach_of(row), str(row.pk)
    row.delete()
    mark_guarded(reach)
    look_again(_environments(reach))
    wake_frozen(reach)
    audit.services.record(actor=actor, action="freeze.deleted", at=row, key=key, before=before, reason=reason)


def _environments(reach: list[int]) -> QuerySet[Environment]:
    return Environment.objects.filter(pk__in=reach)


def _locked(freeze: Freeze) -> Freeze:
    found = Freeze.objects.select_for_update(of=("self",)).select_related("project", "environment", "organization")
    return found.get(pk=freeze.pk)


def _set(freeze: Freeze, payload: Mapping[str, Any]) -> None:
    for name in ("name", "reason", "zone"):
        if name in payload:
            setattr(freeze, name, payload[name])
    freeze.since = payload.get("since") or freeze.since
    freeze.until = payload.get("until", freeze.until)
    freeze.cron = (payload.get("cron", freeze.cron) or "").strip()
    if "durationMinutes" in payload:
        minutes = payload["durationMinutes"]
        freeze.duration = None if minutes is None else timedelta(minutes=minutes)
    exempt = payload.get("exempt")
    if exempt is not None:
        refuse_if_any(unknown_fields(exempt, ("roles", "groups"), within="exempt"))
        freeze.exempt_roles = list(dict.fromkeys(exempt.get("roles", [])))
        freeze.exempt_groups = list(dict.fromkeys(exempt.get("groups", [])))
    refuse_if_any(_problems(freeze))
    clean(freeze)


def _problems(freeze: Freeze) -> list[Problem]:
    problems = []
    if freeze.zone not in available_timezones():
        problems.append(Problem("zone", "unknown_zone", "Name a zone of the tz database, as Europe/Berlin."))
    if drawn := drawn_in(freeze.cron):
        detail = f"{' and '.join(drawn)} would begin it at random (R and H do); name the minute, hour or day instead."
        problems.append(Problem("cron", "invalid_cron", detail))
    elif freeze.cron and not is_cron(freeze.cron):
        problems.append(
            Problem("cron", "invalid_cron", "Give five fields: minute, hour, day, month, weekday; as 0 18 * * 5.")
        )
    if bool(freeze.cron) != (freeze.duration is not None):
        problems.append(
            Problem(
                "durationMinutes" if freeze.cron else "cron",
                "required",
                "A freeze that comes again has both: when it begins (cron) and how long it lasts (durationMinutes).",
            )
        )
    if freeze.duration is not None and not timedelta() < freeze.duration <= LONGEST:
        problems.append(
            Problem("durationMinutes", "out_of_range", f"Give 1 minute to {LONGEST.days} days, in minutes.")
        )
    if freeze.until is not None and freeze.until <= freeze.since:
        problems.append(Problem("until", "out_of_range", "It ends after it begins."))
    return problems
