"""Background work of approvals."""

from celery import shared_task
from django.utils import timezone

from approvals import services


@shared_task(name="approvals.publish_due")
def publish_due() -> int:
    """Publish the change requests whose instant has come, and those that a freeze has held back until now."""
    now = timezone.now()
    services.unmark_ended(now)
    return services.publish_due(now)
