"""Messages through channels: each setting follows its person's notifications, at once or in a digest by day.

A setting's lock is held for the time of the message. What was told is noted in the same transaction, so a worker that
dies sends the message again, and none is lost.
"""

import time
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone

from audit.models import Entry
from integrations import prometheus
from integrations.models import Notification, NotificationSetting
from integrations.notifications.channels import MailAwayError, NotSentError, send
from integrations.notifications.words import line_of
from tenancy import access
from tenancy.callers.principals import principal_of_user

log = structlog.get_logger(__name__)

MOST_LINES: Final = 20
DIGEST_HOUR: Final = 8
# A worker's other tasks wait no longer; what is left goes in the next run.
RUN_SECONDS: Final = 15.0
_FIRST_PAUSE: Final = timedelta(minutes=1)
_LONGEST_PAUSE: Final = timedelta(hours=6)
_Frequency = NotificationSetting.Frequency
# What a run may change.
_KEPT: Final = ("told_at_once", "told_daily", "daily_due_at", "attempts", "due_at", "problem")


def send_due() -> int:
    """Send each message that is due, for as long as a run may last. Return how many went."""
    now, until, went, is_mail_away = timezone.now(), time.monotonic() + RUN_SECONDS, 0, False
    ready = NotificationSetting.objects.filter(
        Q(due_at__isnull=True) | Q(due_at__lte=now), user__is_active=True
    ).exclude(mine=_Frequency.OFF, followed=_Frequency.OFF)
    in_turn = ready.order_by(F("due_at").asc(nulls_first=True), "pk")
    for pk, channel in list(in_turn.values_list("pk", "channel")):
        if time.monotonic() > until:
            break
        if is_mail_away and channel == NotificationSetting.Channel.EMAIL:
            continue
        try:
            count, problem = _send_one(pk)
        except Exception:
            # Nobody's message keeps another's back.
            log.exception("notification_broke_off", setting=pk)
            continue
        went += count
        is_mail_away = is_mail_away or isinstance(problem, MailAwayError)
    return went


@transaction.atomic
def _send_one(pk: int) -> tuple[int, NotSentError | None]:
    """Return how many messages went, and why one did not."""
    setting = (
        NotificationSetting.objects.select_for_update(of=("self",), skip_locked=True)
        .select_related("user", "organization")
        .filter(pk=pk)
        .first()
    )
    if setting is None:
        return 0, None
    problem: NotSentError | None = None
    now, went, before = timezone.now(), 0, _state(setting)
    try:
        went += _tell(setting, _Frequency.AT_ONCE, "told_at_once")
        if setting.daily_due_at is None:
            setting.daily_due_at = next_digest(now)
        elif setting.daily_due_at <= now:
            went += _tell(setting, _Frequency.DAILY, "told_daily")
            setting.daily_due_at = next_digest(now)
    except NotSentError as error:
        problem = error
        setting.attempts += 1
        setting.due_at = now + min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(setting.attempts - 1, 20))
        setting.problem = str(error)[:500]
        prometheus.NOTIFICATIONS.labels(setting.channel, "failed").inc()
        log.warning("notification_not_sent", channel=setting.channel, user=setting.user_id, why=str(error))
    else:
        setting.attempts, setting.due_at, setting.problem = 0, None, ""
        prometheus.NOTIFICATIONS.labels(setting.channel, "sent").inc(went)
    if _state(setting) != before:
        setting.save(update_fields=_KEPT)
    return went, problem


def _state(setting: NotificationSetting) -> list[object]:
    return [getattr(setting, name) for name in _KEPT]


def _tell(setting: NotificationSetting, frequency: str, told: str) -> int:
    """Send what waits at that frequency as one message. Raises NotSentError."""
    kinds = [why for why in Notification.Why.values if getattr(setting, why) == frequency]
    rows = Notification.objects.filter(
        user=setting.user, organization=setting.organization, why__in=kinds, pk__gt=getattr(setting, told)
    ).order_by("pk")
    waiting = list(rows.values_list("pk", "position"))
    if not waiting:
        return 0
    # Somebody may have lost the right to see what waited.
    seen = Entry.objects.filter(
        access.audit_scope(principal_of_user(setting.user)),
        organization_id=setting.organization_id,
        position__in=[position for _, position in waiting],
    )
    lines, count = [line_of(entry) for entry in seen.order_by("position")[:MOST_LINES]], seen.count()
    if lines:
        rest = count - len(lines)
        inbox = f"{settings.BASE_URL}{reverse('admin:integrations_notification_changelist')}"
        subject = lines[0].title if count == 1 else f"{count} events in {setting.organization}"
        send(setting, f"FlagShip: {subject}", lines, f"And {rest} more: {inbox}" if rest else "")
    setattr(setting, told, waiting[-1][0])
    return int(bool(lines))


def next_digest(now: datetime) -> datetime:
    """Eight o'clock UTC, today or tomorrow."""
    today = now.replace(hour=DIGEST_HOUR, minute=0, second=0, microsecond=0)
    return today if today > now else today + timedelta(days=1)
