"""Messages through channels: each setting follows its person's notifications, at once or in a digest by day.

A setting's lock is held for the time of the message. What was told is noted in the same transaction, so a worker that
dies sends the message again, and none is lost.
"""

from datetime import datetime, timedelta
from typing import Final

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from audit.models import Entry
from integrations.models import Notification, NotificationSetting
from integrations.notifications.channels import NotSentError, send
from integrations.notifications.words import line_of

log = structlog.get_logger(__name__)

MOST_LINES: Final = 20
DIGEST_HOUR: Final = 8
_FIRST_PAUSE: Final = timedelta(minutes=1)
_LONGEST_PAUSE: Final = timedelta(hours=6)
_Frequency = NotificationSetting.Frequency


def send_due() -> int:
    """Send each message that is due. Return how many went."""
    now, went = timezone.now(), 0
    ready = NotificationSetting.objects.filter(Q(due_at__isnull=True) | Q(due_at__lte=now)).exclude(
        mine=_Frequency.OFF, followed=_Frequency.OFF
    )
    for pk in list(ready.values_list("pk", flat=True)):
        went += _send_one(pk)
    return went


@transaction.atomic
def _send_one(pk: int) -> int:
    setting = (
        NotificationSetting.objects.select_for_update(of=("self",), skip_locked=True)
        .select_related("user", "organization")
        .filter(pk=pk)
        .first()
    )
    if setting is None:
        return 0
    now, went = timezone.now(), 0
    try:
        went += _tell(setting, _Frequency.AT_ONCE, "told_at_once")
        if setting.daily_due_at is None:
            setting.daily_due_at = next_digest(now)
        elif setting.daily_due_at <= now:
            went += _tell(setting, _Frequency.DAILY, "told_daily")
            setting.daily_due_at = next_digest(now)
    except NotSentError as error:
        setting.attempts += 1
        setting.due_at = now + min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(setting.attempts - 1, 20))
        setting.problem = str(error)[:500]
        log.warning("notification_not_sent", channel=setting.channel, user=setting.user_id, why=str(error))
    else:
        setting.attempts, setting.due_at, setting.problem = 0, None, ""
    setting.save()
    return went


def _tell(setting: NotificationSetting, frequency: str, told: str) -> int:
    """Send what waits at that frequency as one message. Raises NotSentError."""
    kinds = [why for why in Notification.Why.values if getattr(setting, why) == frequency]
    rows = Notification.objects.filter(
        user=setting.user, organization=setting.organization, why__in=kinds, pk__gt=getattr(setting, told)
    ).order_by("pk")
    waiting = list(rows.values_list("pk", "position"))
    if not waiting:
        return 0
    positions = [position for _, position in waiting[:MOST_LINES]]
    entries = Entry.objects.filter(organization_id=setting.organization_id, position__in=positions).order_by("position")
    lines = [line_of(entry) for entry in entries]
    rest = len(waiting) - len(lines)
    inbox = f"{settings.BASE_URL}{reverse('admin:integrations_notification_changelist')}"
    subject = lines[0].title if len(waiting) == 1 else f"{len(waiting)} events in {setting.organization}"
    send(setting, f"FlagShip: {subject}", lines, f"And {rest} more: {inbox}" if rest else "")
    setattr(setting, told, waiting[-1][0])
    return 1


def next_digest(now: datetime) -> datetime:
    """Eight o'clock UTC, today or tomorrow."""
    today = now.replace(hour=DIGEST_HOUR, minute=0, second=0, microsecond=0)
    return today if today > now else today + timedelta(days=1)
