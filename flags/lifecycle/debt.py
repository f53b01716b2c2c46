"""Flag debt: how many flags of a project wait for somebody to clean up, each day, and who is reminded of them."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.utils import timezone

import audit.services
from audit.actors import Actor
from audit.models import Entry
from audit.services import Act
from flags.lifecycle.evidence import Known, lifecycles
from flags.lifecycle.stages import Stage
from flags.models import DebtDay
from tenancy.models import Project

REMINDED: Final = "flag.reminded"
# A flag is mentioned again after so long, and no project's people hear of more flags than this in one day.
REMIND_AGAIN: Final = timedelta(days=7)
MOST_REMINDERS: Final = 50
KEPT_DAYS: Final = 400


def look_after(*, actor: Actor, project: Project, now: datetime | None = None) -> int:
    """Note the day's figures, and remind whoever looks after flags that wait. Return how many flags that were."""
    now = now or timezone.now()
    known = lifecycles(project, now=now)
    note_day(project, known, now)
    return remind(actor=actor, project=project, known=known, now=now)


def note_day(project: Project, known: Sequence[Known], now: datetime) -> None:
    """Keep the figures of this UTC day; the last call of a day decides."""
    stages = Counter(each.found.stage for each in known)
    figures = {
        "new": stages[Stage.NEW],
        "live": stages[Stage.LIVE],
        "complete": stages[Stage.COMPLETE],
        "ready_to_archive": stages[Stage.READY],
        "overdue": sum(each.found.is_overdue for each in known),
    }
    DebtDay.objects.update_or_create(project=project, day=now.date(), defaults=figures)
    DebtDay.objects.filter(project=project, day__lt=now.date() - timedelta(days=KEPT_DAYS)).delete()


@transaction.atomic
def remind(*, actor: Actor, project: Project, known: Sequence[Known], now: datetime) -> int:
    """Audit a reminder for each flag that waits, those first that nobody changed for longest.

    Whoever is told of the audit log's rows hears of it: owners, else makers, and followers. Once a week a flag.
    """
    # Two workers that run at once would remind twice.
    Project.objects.select_for_update(of=("self",)).get(pk=project.pk)
    place = {"organization_id": project.organization_id, "project": project.key}
    # A little less than a week, because the task does not start at the same second each day.
    since = now - REMIND_AGAIN + timedelta(hours=1)
    told = Entry.objects.filter(**place, action=REMINDED, occurred_at__gt=since)
    lately = set(told.values_list("entity_key", flat=True))
    waiting = [each for each in known if is_waiting(each) and each.flag.key not in lately]
    waiting.sort(key=lambda each: (each.evidence.changed_at, each.flag.key))
    acts = [_reminder(each) for each in waiting[:MOST_REMINDERS]]
    if acts:
        audit.services.record_each(actor=actor, at=project, acts=acts)
    return len(acts)


def is_waiting(known: Known) -> bool:
    """Whether somebody should act on the flag: it is past its expected end, or ready to archive."""
    return known.found.is_overdue or known.found.stage is Stage.READY


def _reminder(known: Known) -> Act:
    flag, sentences = known.flag, [reason.sentence for reason in known.found.reasons]
    lead = "It is ready to archive." if known.found.stage is Stage.READY else "It is past its expected end."
    state = {
        "stage": known.found.stage.value,
        "expectedEnd": flag.expected_end.isoformat() if flag.expected_end else None,
        "owner": flag.owner or None,
        "team": flag.team or None,
        "reasons": sentences,
    }
    return Act(REMINDED, flag.key, after=state, reason=" ".join([lead, *sentences]))
