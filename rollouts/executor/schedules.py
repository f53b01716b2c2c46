"""Takes the scheduled changes that are due, one after the other, each in a transaction of its own."""

from datetime import datetime, timedelta
from typing import Final

import structlog
from django.conf import settings
from django.db import transaction

from flags.services import version_log
from rollouts.clock import database_now
from rollouts.models import RolloutStop, ScheduledChange
from rollouts.planning.recurrence import next_due
from rollouts.services.schedules import publish_due

log = structlog.get_logger(__name__)

_AGAIN: Final = timedelta(minutes=1)


def run(now: datetime | None = None) -> int:
    """Publish what is due, or hold it; return how many were looked at.

    After an outage a recurring change is made once, in the order in which each was due last: whoever was to be on
    since this morning is on.
    """
    if not settings.ROLLOUTS_ENABLED:
        return 0
    moment = now or database_now()
    stopped = RolloutStop.objects.values("organization")
    due = ScheduledChange.objects.filter(state=ScheduledChange.State.WAITING, due_at__lte=moment)
    # What each changes is read once its row is locked.
    brief = due.select_related("environment__project").only("due_at", "cron", "zone", "environment__project__key")
    waiting = list(brief.exclude(environment__project__organization__in=stopped).order_by("due_at", "pk"))
    waiting.sort(key=lambda change: _last_due(change, moment))
    return sum(_publish(change, moment) for change in waiting)


def _last_due(change: ScheduledChange, now: datetime) -> datetime:
    """The last time at or before now at which it was due."""
    last = change.due_at or now
    if not change.cron:
        return last
    # It may have been due half a million times: begin near now, and go farther back until one is found.
    near = timedelta(minutes=2)
    while now - near > last:
        found = next_due(change.cron, change.zone, now - near)
        if found is not None and found <= now:
            last = found
            break
        near *= 4
    while (following := next_due(change.cron, change.zone, last)) is not None and following <= now:
        last = following
    return last


def _publish(change: ScheduledChange, now: datetime) -> int:
    try:
        with transaction.atomic():
            environments = version_log.lock_project(change.environment.project)
            rows = ScheduledChange.objects.select_for_update(skip_locked=True, of=("self",))
            locked = rows.select_related("environment__project__organization", "author").filter(
                pk=change.pk, state=ScheduledChange.State.WAITING, due_at__lte=now
            )
            found = locked.first()
            if found is None:
                return 0
            publish_due(found, environments=environments, now=now)
    except Exception:
        # One change must not keep all others from their time.
        log.exception("scheduled_change_failed", change=str(change.pk))
        # Where somebody gave it another time meanwhile, that one stays.
        failed = ScheduledChange.objects.filter(pk=change.pk, state=ScheduledChange.State.WAITING, due_at__lte=now)
        failed.update(due_at=now + _AGAIN)
    return 1
