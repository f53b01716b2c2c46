"""Background work of integrations."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from integrations import services
from integrations.webhooks import dispatch


@shared_task(name="integrations.deliver_webhooks")
def deliver_webhooks() -> int:
    """Deliver what is due. A commit calls it at once, and the schedule every few seconds for what has to wait."""
    return dispatch.run()


@shared_task(name="integrations.prune_deliveries")
def prune_deliveries() -> int:
    """Forget attempts that are older than the log of deliveries reaches."""
    return services.prune_deliveries(before=timezone.now() - timedelta(days=services.DELIVERIES_KEPT_DAYS))
