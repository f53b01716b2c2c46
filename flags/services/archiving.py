"""Archiving flags and restoring them, and deleting for good what was archived long ago."""

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction
from django.db.models import ProtectedError
from django.utils import timezone

import audit.services
from audit.actors import Actor
from flags.documents import flag_presentation, flag_resource
from flags.models import Change, Flag, FlagConfig
from flags.selectors import get_config
from flags.services import gate, version_log
from flags.staleness import is_asked_for, last_use_anywhere
from tenancy.errors import Conflict, Invalid
from tenancy.models import Environment


@gate.act("flag.archive")
@transaction.atomic
def archive_flag(
    *, actor: Actor, environment: Environment, key: str, reason: str = "", confirm: str = ""
) -> FlagConfig:
    """Stop serving the flag in every environment. It keeps its key, its history and its events.

    Raises Conflict `in_use`; and `still_evaluated` for a flag that was asked for in the last days, unless `confirm` is
    its key.
    """
    environments = version_log.lock_project(environment.project)
    config = get_config(environments[environment.pk], key)
    flag = config.flag
    if flag.is_archived:
        return config
    _refuse_in_use(flag)
    if confirm != flag.key:
        _refuse_evaluated(flag)
    before = flag_resource(config)
    flag.is_archived, flag.archived_at = True, timezone.now()
    flag.save(update_fields=["is_archived", "archived_at", "updated_at"])
    for row in _own_first(environment, flag.configs.all()):
        row.version += 1
        row.save(update_fields=["version", "updated_at"])
        version_log.append(
            environment=environments[row.environment_id],
            actor=actor,
            kind=Change.Kind.FLAG_ARCHIVED,
            key=flag.key,
            document=None,
            presentation=flag_presentation(flag),
        )
    saved = get_config(config.environment, key)
    audit.services.record(
        actor=actor,
        action="flag.archived",
        at=saved.environment,
        key=saved.flag.key,
        before=before,
        after=flag_resource(saved),
        reason=reason,
    )
    return saved


def _refuse_evaluated(flag: Flag) -> None:
    found = last_use_anywhere(flag)
    if found is None or not is_asked_for(found[1].at):
        return
    where, use = found
    by = use.source.service or "another service"
    raise Conflict(
        f"{flag.key!r} is still evaluated: by {by} in {where.environment.name}, last at {use.at:%Y-%m-%d %H:%M} UTC. "
        f"Confirm it with the flag's key, {flag.key}: callers then get their own default.",
        code="still_evaluated",
        attr="confirm",
    )


def _refuse_in_use(flag: Flag) -> None:
    dependents = FlagConfig.objects.filter(
        flag__project=flag.project, flag__is_archived=False, prerequisites__contains=[{"flagKey": flag.key}]
    ).select_related("flag", "environment")
    users = [f"{config.flag.key} ({config.environment.key}, prerequisite)" for config in dependents]
    users += [
        f"an experiment ({config.environment.key})"
        for config in flag.configs.filter(experiment__isnull=False).select_related("environment")
    ]
    if users:
        raise Conflict(
            f"{flag.key!r} is still used by: {', '.join(users)}. Take it out there first.", code="in_use", attr="key"
        )


def _own_first(environment: Environment, configs: Iterable[FlagConfig]) -> list[FlagConfig]:
    """Its own environment is asked first: a change request goes there, for the version that the flag has there."""
    return sorted(configs, key=lambda row: (row.environment_id != environment.pk, row.environment_id))


@gate.act("flag.restore")
@transaction.atomic
def restore_flag(*, actor: Actor, environment: Environment, key: str, reason: str = "") -> FlagConfig:
    """Serve an archived flag again, as it was configured."""
    environments = version_log.lock_project(environment.project)
    config = get_config(environments[environment.pk], key)
    flag = config.flag
    if not flag.is_archived:
        return config
    before = flag_resource(config)
    flag.is_archived, flag.archived_at = False, None
    flag.save(update_fields=["is_archived", "archived_at", "updated_at"])
    for row in _own_first(environment, flag.configs.select_related("flag", "environment").prefetch_related("rules")):
        row.version += 1
        row.save(update_fields=["version", "updated_at"])
        version_log.append_flag(actor, row, environments[row.environment_id])
    saved = get_config(config.environment, key)
    audit.services.record(
        actor=actor,
        action="flag.restored",
        at=saved.environment,
        key=saved.flag.key,
        before=before,
        after=flag_resource(saved),
        reason=reason,
    )
    return saved


def purge_flag(*, actor: Actor, environment: Environment, key: str, confirm: str, reason: str = "") -> None:
    """Delete an archived flag for good in every environment, so that its key is free; `confirm` is the key.

    Raises Invalid `confirmation_mismatch`; Conflict `not_archived`, and `in_use` where an experiment refers to it.
    """
    flag = get_config(environment, key).flag
    if confirm != key:
        raise Invalid(
            f"Nobody can bring the flag back. Confirm it with the flag's key: {key}.",
            attr="confirm",
            code="confirmation_mismatch",
        )
    if not flag.is_archived:
        raise Conflict(f"{key!r} is served. Archive it first.", code="not_archived", attr="key")
    try:
        is_purged = _purge(actor, flag.pk, timezone.now(), reason)
    except ProtectedError as error:
        raise Conflict(
            f"{key!r} belongs to an experiment, whose results need it. Delete the experiment first.",
            code="in_use",
            attr="key",
        ) from error
    if not is_purged:
        raise Conflict(f"{key!r} was restored or deleted meanwhile.", code="not_archived", attr="key")


def purge_flags(*, actor: Actor, archived_before: datetime) -> tuple[list[str], list[str]]:
    """Delete flags archived before that moment, each in a transaction of its own.

    Returns the keys (purged, kept). A flag is kept while something refers to it, such as an experiment's results.
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
def _purge(actor: Actor, pk: int, archived_before: datetime, reason: str = "") -> bool:
    flag = Flag.objects.select_related("project__organization").filter(pk=pk).first()
    if flag is None:
        return False
    version_log.lock_project(flag.project)
    # It may have been restored, or deleted, since it was read.
    locked = Flag.objects.filter(pk=pk, is_archived=True, archived_at__lt=archived_before).first()
    if locked is None:
        return False
    audit.services.record(
        actor=actor,
        action="flag.purged",
        at=flag.project,
        key=flag.key,
        before={"key": flag.key, "type": flag.type, "variants": flag.variants, **flag_presentation(flag)},
        reason=reason or f"archived at {flag.archived_at:%Y-%m-%d}",
    )
    locked.delete()
    return True
