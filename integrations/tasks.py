"""Background work of integrations."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from integrations import services
from integrations.export import streaming
from integrations.notifications import fan_out, sending
from integrations.webhooks import dispatch


@shared_task(name="integrations.deliver_webhooks")
def deliver_webhooks() -> int:
    """Deliver what is due. A commit calls it at once, and `look_for_webhooks` for what has to wait."""
    return dispatch.run()


@shared_task(name="integrations.look_for_webhooks")
def look_for_webhooks() -> None:
    """Called by the schedule every few seconds. It delivers nothing itself: while a worker is long at a backlog, these
    would gather in its queue, and each would hold up all other tasks for as long as a delivery run."""
    dispatch.wake_if_due()


@shared_task(name="integrations.prune")
def prune() -> int:
    """Forget deliveries and notifications that are older than their lists reach."""
    now = timezone.now()
    deliveries = services.prune_deliveries(before=now - timedelta(days=services.DELIVERIES_KEPT_DAYS))
    return deliveries + services.prune_notifications(before=now - timedelta(days=services.NOTIFICATIONS_KEPT_DAYS))


@shared_task(name="integrations.notify")
def notify() -> int:
    """Find whom new events concern, and send each message that is due. Called by commits, and by the schedule."""
    fan_out.fan_out()
    return sending.send_due()


@shared_task(name="integrations.stream_audit")
def stream_audit() -> int:
    """Hand the audit log on to the file and the collector that the settings name."""
    return streaming.stream_audit()
