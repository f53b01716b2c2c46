"""Reading the audit log for people: each row that somebody is told of becomes a notification of theirs."""

from datetime import timedelta
from typing import Final

import structlog
from django.db import IntegrityError, transaction
from django.db.models import F, OuterRef, Subquery
from django.utils import timezone

from audit.models import Entry
from integrations.models import Notification, NotificationCursor
from integrations.notifications.audience import audiences_of, small
from tenancy.models import Organization

log = structlog.get_logger(__name__)

_READ_AT_ONCE: Final = 200
# An organization that was never read begins with what is this old.
_FIRST_READ: Final = timedelta(hours=24)


def fan_out() -> int:
    """Read every organization's chain to its end. Return how many notifications were made."""
    known = NotificationCursor.objects.values("organization")
    for organization in Organization.objects.exclude(pk__in=known):
        try:
            _begin(organization)
        except IntegrityError:
            # It was deleted meanwhile.
            log.info("notifications_not_begun", organization=organization.pk)
    rows = Entry.objects.filter(organization_id=OuterRef("pk")).order_by("-position")
    behind = NotificationCursor.objects.annotate(head=Subquery(rows.values("position")[:1])).filter(
        position__lt=F("head")
    )
    made = 0
    for organization_id in list(behind.values_list("pk", flat=True)):
        try:
            while (found := _read(organization_id)) is not None:
                made += found
        except Exception:
            # The others are told all the same; the schedule tries this one again.
            log.exception("notifications_not_made", organization=organization_id)
    return made


def _begin(organization: Organization) -> None:
    old = Entry.objects.filter(organization_id=organization.pk, occurred_at__lt=timezone.now() - _FIRST_READ)
    position = old.order_by("-position").values_list("position", flat=True).first() or 0
    NotificationCursor.objects.get_or_create(organization=organization, defaults={"position": position})


@transaction.atomic
def _read(organization_id: int) -> int | None:
    """Read some rows; None once there is nothing more, or another worker is at it."""
    # Whoever deletes an organization locks it first, and then what belongs to it.
    here = Organization.objects.select_for_update(skip_locked=True, no_key=True).filter(pk=organization_id).first()
    cursor = NotificationCursor.objects.select_for_update(skip_locked=True).filter(pk=organization_id).first()
    if here is None or cursor is None:
        return None
    rows = Entry.objects.filter(organization_id=organization_id, position__gt=cursor.position)
    read = list(small(rows).order_by("position")[:_READ_AT_ONCE])
    if not read:
        return None
    made = [
        Notification(user_id=user_id, organization_id=organization_id, position=position, why=why)
        for position, people in audiences_of(read).items()
        for user_id, why in people.items()
    ]
    cursor.position = read[-1].position
    Notification.objects.bulk_create(made, ignore_conflicts=True)
    cursor.save(update_fields=["position"])
    return len(made)
