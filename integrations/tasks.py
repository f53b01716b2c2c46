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
    """Deliver what is due. A commit calls it at once, and the schedule every few seconds for what has to wait."""
    return dispatch.run()


@shared_task(name="integrations.prune")
def prune() -> int:
    """Forget deliveries and notifications that are older than their lists reach."""
    now = timezone.now()
    deliveries = services.prune_deliveries(before=now - timedelta(days=services.DELIVERIES_KEPT_DAYS))
    return deliveries + services.prune_notifications(before=now - timedelta(days=services.NOTIFICATIONS_KEPT_DAYS))


@shared_task(name="integrations.notify")
def notify() -> int:
    """Find whom new events concern, and send each message that is due. Called as `deliver_webhooks` is."""
    fan_out.fan_out()
    return sending.send_due()


@shared_task(name="integrations.stream_audit")
def stream_audit() -> int:
    """Hand the audit log on to the file and the collector that the settings name."""
    return streaming.stream_audit()
