"""Deleting for good what was archived long ago; the version log and the audit log keep what it was."""

from datetime import datetime

from django.db import transaction
from django.db.models import ProtectedError

import audit.services
from audit.actors import Actor
from flags.documents import flag_about
from flags.models import Flag
from flags.services import version_log


def purge_flags(*, actor: Actor, archived_before: datetime) -> tuple[list[str], list[str]]:
    """Delete flags archived before that moment, each in a transaction of its own.

    Returns (purged, kept): those that something still stands on, such as an experiment's results, are kept.
    """
    purged: list[str] = []
    kept: list[str] = []
    found = Flag.objects.filter(is_archived=True, archived_at__lt=archived_before).order_by("pk")
    for pk, key in found.values_list("pk", "key"):
        try:
            is_purged = _purge(actor, pk, archived_before)
        except ProtectedError:
            kept.append(key)
        else:
            purged += [key] if is_purged else []
    return purged, kept


@transaction.atomic
def _purge(actor: Actor, pk: int, archived_before: datetime) -> bool:
    flag = Flag.objects.select_related("project__organization").get(pk=pk)
    version_log.lock_project(flag.project)
    # It may have been restored since it was listed.
    locked = Flag.objects.filter(pk=pk, is_archived=True, archived_at__lt=archived_before).first()
    if locked is None:
        return False
    audit.services.record(
        actor=actor,
        action="flag.purged",
        at=flag.project,
        key=flag.key,
        before={"key": flag.key, "type": flag.type, "variants": flag.variants, **flag_about(flag)},
        reason=f"archived at {flag.archived_at:%Y-%m-%d}",
    )
    locked.delete()
    return True
