"""Background work of flags."""

from datetime import timedelta

import structlog
from celery import shared_task
from django.conf import settings
from django.utils import timezone

from audit.actors import system
from flags import services

log = structlog.get_logger(__name__)


@shared_task(name="flags.purge_archived")
def purge_archived() -> int:
    """Delete flags that were archived longer ago than the setting's months; 0 months keeps all."""
    if not settings.PURGE_ARCHIVED_MONTHS:
        return 0
    before = timezone.now() - timedelta(days=settings.PURGE_ARCHIVED_MONTHS * 365 / 12)
    purged, kept = services.purge_flags(actor=system("purge archived flags"), archived_before=before)
    log.info("flags_purged", purged=len(purged), kept=len(kept))
    return len(purged)


@shared_task(name="flags.prune_version_log")
def prune_version_log() -> list[str]:
    """Drop steps of the version log that are older than the setting's days; 0 days keeps all."""
    if not settings.VERSION_LOG_RETENTION_DAYS:
        return []
    before = timezone.now() - timedelta(days=settings.VERSION_LOG_RETENTION_DAYS)
    pruned = [str(found) for found in services.prune_version_log(actor=system("version log retention"), before=before)]
    log.info("version_log_pruned", environments=pruned)
    return pruned
