"""Background work of flags."""

from datetime import timedelta

import structlog
from celery import shared_task
from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from audit.actors import system
from flags import services
from flags.lifecycle import debt
from flags.propagation import published_snapshots
from tenancy.models import Project

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


@shared_task(name="flags.publish_snapshots")
def publish_snapshots() -> int:
    """Publish in object storage what is not there yet. Called by commits, and by the schedule."""
    return published_snapshots.publish_snapshots()


@shared_task(name="flags.prune_version_log")
def prune_version_log() -> list[str]:
    """Drop steps of the version log that are older than the setting's days; 0 days keeps all."""
    if not settings.VERSION_LOG_RETENTION_DAYS:
        return []
    before = timezone.now() - timedelta(days=settings.VERSION_LOG_RETENTION_DAYS)
    pruned = [str(found) for found in services.prune_version_log(actor=system("version log retention"), before=before)]
    log.info("version_log_pruned", environments=pruned)
    return pruned


@shared_task(name="flags.look_after_flags")
def look_after_flags() -> int:
    """Note each project's flag debt of the day, and remind whoever looks after a flag that waits."""
    reminded = 0
    for project in Project.objects.select_related("organization").order_by("pk"):
        try:
            reminded += debt.look_after(actor=system("flag debt"), project=project)
        except DatabaseError:
            # The store of events may be away. The others are looked after all the same, this one tomorrow.
            log.exception("flags_not_looked_after", project=project.pk)
    log.info("flags_looked_after", reminded=reminded)
    return reminded
