"""What a person wants to hear of, and by which channel. It is the person's own affair, so nothing is audited."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from audit.models import Entry
from integrations.models import Follow, Notification, NotificationSetting
from integrations.services.addresses import address_problems
from tenancy.errors import Conflict, Invalid, Problem
from tenancy.models import Organization, Project, User
from tenancy.refusals import refuse_if_any, refuse_unknown
from tenancy.services import clean

MOST_FOLLOWS: Final = 1000
NOTIFICATIONS_KEPT_DAYS: Final = 90
_FIELDS: Final = ("url", "mine", "followed")
_Channel, _Frequency = NotificationSetting.Channel, NotificationSetting.Frequency


def set_channel(
    *, user: User, organization: Organization, channel: str, payload: Mapping[str, Any]
) -> NotificationSetting:
    """Say how a channel tells a person. It begins anew: what waited for a digest is in the inbox alone.

    Raises Invalid.
    """
    refuse_unknown(payload, _FIELDS)
    if channel not in _Channel.values:
        raise Invalid(f"Use one of: {', '.join(_Channel.values)}.", attr="channel", code="invalid_choice")
    found = []
    if channel != _Channel.EMAIL and payload.get("url"):
        found = address_problems(str(payload["url"]))
    return _set_channel(user, organization, channel, payload, found)


@transaction.atomic
def _set_channel(
    user: User, organization: Organization, channel: str, payload: Mapping[str, Any], problems: list[Problem]
) -> NotificationSetting:
    setting = NotificationSetting.objects.select_for_update().filter(
        user=user, organization=organization, channel=channel
    ).first() or NotificationSetting(user=user, organization=organization, channel=channel)
    problems = list(problems)
    for name in ("mine", "followed"):
        value = payload.get(name, getattr(setting, name))
        if value not in _Frequency.values:
            problems.append(Problem(name, "invalid_choice", f"Use one of: {', '.join(_Frequency.values)}."))
        setattr(setting, name, value)
    setting.url = payload.get("url", setting.url)
    if setting.channel == _Channel.EMAIL and setting.url:
        problems.append(Problem("url", "invalid", "E-mail goes to your account's address; leave this out."))
    if setting.channel != _Channel.EMAIL and not setting.url:
        problems.append(Problem("url", "required", "Send the address of the chat's incoming webhook."))
    refuse_if_any(problems)
    latest = Notification.objects.filter(user=user, organization=organization).order_by("-pk")
    setting.told_at_once = setting.told_daily = latest.values_list("pk", flat=True).first() or 0
    setting.attempts, setting.due_at, setting.problem = 0, None, ""
    clean(setting)
    setting.save()
    return setting


def remove_channel(*, setting: NotificationSetting) -> None:
    setting.delete()


@transaction.atomic
def follow(*, user: User, project: Project, kind: str, key: str) -> tuple[Follow, bool]:
    """Follow a flag, an experiment or a tag. Return it, and whether it is new. Raises Invalid or Conflict."""
    organization = project.organization
    if kind not in Follow.Kind.values:
        raise Invalid(f"Use one of: {', '.join(Follow.Kind.values)}.", attr="kind", code="invalid_choice")
    found = Follow(user=user, organization=organization, kind=kind, project=project.key, key=key)
    clean(found)
    known = Entry.objects.filter(organization_id=organization.pk, project=project.key, entity_type=kind, entity_key=key)
    if kind != Follow.Kind.TAG and not known.exists():
        raise Invalid(f"This project has no {kind} {key!r}.", attr="key", code=f"unknown_{kind}")
    if Follow.objects.filter(user=user, organization=organization).count() >= MOST_FOLLOWS:
        raise Conflict(f"You follow {MOST_FOLLOWS:,} things already; leave one first.", code="limit_reached")
    return Follow.objects.get_or_create(user=user, organization=organization, kind=kind, project=project.key, key=key)


def unfollow(*, follow: Follow) -> None:
    follow.delete()


def mark_read(*, user: User, up_to: int) -> int:
    """Mark a person's notifications up to one of them as read. Return how many there were."""
    unread = Notification.objects.filter(user=user, pk__lte=up_to, read_at__isnull=True)
    return unread.update(read_at=timezone.now())


def prune_notifications(*, before: datetime) -> int:
    """Delete notifications from before an instant."""
    return Notification.objects.filter(created_at__lt=before).delete()[0]
