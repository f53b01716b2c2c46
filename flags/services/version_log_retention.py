"""Pruning the version log: steps below a floor are deleted unless something needs them. Above it none is missing."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import Case, F, Max, Min, Q, QuerySet, When, Window

import audit.services
from audit.actors import Actor
from flags.models import Change, LogFloor
from flags.services import version_log
from tenancy.models import Environment

_DELETED_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many steps were deleted from one environment's log. All of them are below the floor."""

    environment: str
    floor: int
    steps: int

    def __str__(self) -> str:
        return f"{self.environment}: {self.steps:,} steps before version {self.floor:,}"


def prune_version_log(
    *, actor: Actor, before: datetime, environments: Iterable[Environment] | None = None, dry_run: bool = False
) -> list[Pruned]:
    """Delete steps that were written before that moment. With `dry_run`, only count them.

    The latest STREAM_CATCH_UP_STEPS steps stay even if they are older, so that clients that reconnect can catch up.
    """
    chosen = Environment.objects.select_related("project__organization")
    if environments is not None:
        chosen = chosen.filter(pk__in=[environment.pk for environment in environments])
    found = [_prune(actor, environment, before, dry_run) for environment in chosen]
    return [pruned for pruned in found if pruned.steps]


def _prune(actor: Actor, environment: Environment, before: datetime, dry_run: bool) -> Pruned:
    known = LogFloor.objects.filter(environment=environment).values_list("version", flat=True).first() or 0
    floor = max(known, _floor(environment, before))
    going = list(_droppable(environment, floor))
    pruned = Pruned(str(environment), floor, len(going))
    if dry_run or not going:
        return pruned
    with transaction.atomic():
        # Every writer takes this lock before it audits. Others wait for the audit here, and not for the deletion.
        version_log.lock_environment(environment)
        # The floor rises first, so that nobody reads an incomplete part. Another run may have set a higher one.
        row, _ = LogFloor.objects.get_or_create(environment=environment)
        row.version = max(row.version, floor)
        row.save()
        audit.services.record(
            actor=actor,
            action="version_log.pruned",
            at=environment,
            key=environment.key,
            before={"floor": known},
            after={"floor": floor, "steps": len(going)},
            reason=f"older than {before:%Y-%m-%d}",
        )
    for start in range(0, len(going), _DELETED_AT_ONCE):
        Change.objects.filter(pk__in=going[start : start + _DELETED_AT_ONCE]).delete()
    return pruned


def _floor(environment: Environment, before: datetime) -> int:
    old = Change.objects.filter(environment=environment, created_at__lt=before).order_by("-version")
    newest = old.values_list("version", flat=True).first() or 0
    return min(newest, environment.config_version - settings.STREAM_CATCH_UP_STEPS)


def _droppable(environment: Environment, floor: int) -> QuerySet[Change, int]:
    """Ids of the steps up to the floor that nothing needs.

    The latest step of each kind stays for each flag and segment. It is the state at the floor, the last state of an
    archived flag, or the last kill. From a flag's first experiment on all its steps stay, because results name them.
    """
    thing = [F("entity"), F("key")]
    has_experiment = Q(document__experiment__id__isnull=False)
    return (
        Change.objects.filter(environment=environment, version__lte=floor)
        .annotate(
            latest=Window(Max("version"), partition_by=[*thing, F("kind")]),
            first_experiment=Window(Min(Case(When(has_experiment, then=F("version")))), partition_by=thing),
        )
        .filter(version__lt=F("latest"))
        .filter(Q(first_experiment__isnull=True) | Q(version__lt=F("first_experiment")))
        .order_by()
        .values_list("pk", flat=True)
    )
