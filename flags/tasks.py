"""Background work of flags."""

from datetime import timedelta

import structlog
from celery import shared_task
from django.conf import settings
from django.utils import timezone

from audit.actors import system
from flags.services import purge_flags

log = structlog.get_logger(__name__)


@shared_task(name="flags.purge_archived")
def purge_archived() -> int:
    """Delete flags that were archived longer ago than the setting's months; 0 months keeps all."""
    if not settings.PURGE_ARCHIVED_MONTHS:
        return 0
    before = timezone.now() - timedelta(days=settings.PURGE_ARCHIVED_MONTHS * 365 / 12)
    purged, kept = purge_flags(actor=system("purge archived flags"), archived_before=before)
    log.info("flags_purged", purged=len(purged), kept=len(kept))
    return len(purged)
