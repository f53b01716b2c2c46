"""Takes the plans that are due, some of one project at a time, and brings each to its step in one write.

The environments' locks come first, as every writer of flags takes them; then the plans' rows, without waiting for those
that another worker has. So a kill and a person's act wait for a few plans at the most.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import prefetch_related_objects

from flags.services import gate, version_log
from rollouts.clock import database_now
from rollouts.executor.evidence import Evidence, gather
from rollouts.models import RolloutPlan, RolloutStop
from rollouts.services.conflicts import AUTOMATIC, stop
from rollouts.services.stepping import look, planned
from rollouts.services.together import take_together
from tenancy.errors import ServiceError
from tenancy.models import Environment, Project

log = structlog.get_logger(__name__)

# Of plans of one environment that wait for time alone; they are written together.
_BATCH: Final = 50
# So many at the least: fewer are as quick one by one.
_TOGETHER: Final = 2
# A plan that an unforeseen error stopped is looked at again after so long, and others go on.
_AGAIN: Final = timedelta(minutes=1)


def run(now: datetime | None = None, *, most: int | None = None) -> int:
    """Look at each plan that is due, at most `most` of them; return how many were looked at.

    `now` is for tests; without it the database's clock decides, anew for each batch.
    """
    if not settings.ROLLOUTS_ENABLED:
        return 0
    seen = 0
    while most is None or seen < most:
        moment = now or database_now()
        batch = _next_batch(moment, _BATCH if most is None else min(_BATCH, most - seen))
        if not batch:
            break
        evidence, unread = _gathered(batch, moment)
        looked = len(unread) + _work([plan for plan in batch if plan.pk not in unread], evidence, moment)
        seen += looked
        if not looked:
            # Another worker has all of them.
            break
    return seen


def _next_batch(now: datetime, size: int) -> list[RolloutPlan]:
    """Plans of one project, the longest due first."""
    stopped = RolloutStop.objects.values("organization")
    due = RolloutPlan.objects.filter(state=RolloutPlan.State.RUNNING, due_at__lte=now)
    due = due.exclude(environment__project__organization__in=stopped).order_by("due_at", "pk")
    first = due.values_list("environment__project", flat=True).first()
    if first is None:
        return []
    return list(due.filter(environment__project=first).select_related("environment")[:size])


def _gathered(batch: list[RolloutPlan], now: datetime) -> tuple[dict[UUID, Evidence], set[UUID]]:
    """What the data say of each plan that asks them; and those of which they could not be read."""
    evidence: dict[UUID, Evidence] = {}
    unread: set[UUID] = set()
    asking: list[RolloutPlan] = []
    for plan in batch:
        with _alone(plan, now, unread):
            asking += [plan] if _needs_evidence(plan) else []
    prefetch_related_objects(asking, "parts__config__flag", "parts__config__environment")
    for plan in asking:
        with _alone(plan, now, unread):
            evidence[plan.pk] = gather(plan, now)
    return evidence, unread


@contextmanager
def _alone(plan: RolloutPlan, now: datetime, unread: set[UUID]) -> Iterator[None]:
    """Let an error, as of a broken metric, stop its own plan alone, until it is looked at again."""
    try:
        yield
    except Exception:
        log.exception("rollout_evidence_failed", plan=str(plan.pk))
        due = RolloutPlan.objects.filter(pk=plan.pk, state=RolloutPlan.State.RUNNING, due_at__lte=now)
        due.update(due_at=now + _AGAIN)
        unread.add(plan.pk)


def _needs_evidence(plan: RolloutPlan) -> bool:
    asked = planned(plan)
    is_asked = plan.current_step < len(asked.steps) and asked.needs_evidence(plan.current_step + 1)
    return asked.is_watched or is_asked


def _work(batch: list[RolloutPlan], evidence: Mapping[UUID, Evidence], now: datetime) -> int:
    if not batch:
        return 0
    project = Project.objects.get(pk=batch[0].environment.project_id)
    versions = {plan.pk: plan.version for plan in batch}
    with transaction.atomic():
        environments = version_log.lock_project(project)
        due = RolloutPlan.objects.filter(pk__in=versions, state=RolloutPlan.State.RUNNING, due_at__lte=now)
        locked = list(due.select_for_update(skip_locked=True, of=("self",)).order_by("due_at", "pk"))
        for plan in locked:
            plan.environment = environments[plan.environment_id]
        taken = _take_together([plan for plan in locked if plan.pk not in evidence], environments, now)
        for plan in locked:
            if plan.pk in taken:
                continue
            # What is known of a plan that somebody changed meanwhile is about another step.
            known = evidence.get(plan.pk) if versions[plan.pk] == plan.version else None
            _look_at(plan, environments, known, now)
    return len(locked)


def _take_together(plans: list[RolloutPlan], environments: Mapping[int, Environment], now: datetime) -> set[UUID]:
    """Take the steps of plans that wait for time alone, environment by environment; the others are looked at alone."""
    taken: set[UUID] = set()
    for environment in {plan.environment_id for plan in plans}:
        of_it = [plan for plan in plans if plan.environment_id == environment]
        if len(of_it) < _TOGETHER:
            continue
        try:
            with gate.permitted(), transaction.atomic():
                found = take_together(
                    actor=AUTOMATIC,
                    environment=environments[environment],
                    plans=[copy(each) for each in of_it],
                    now=now,
                )
        except Exception:
            # One of them is the reason. Each is looked at by itself, and that one says so.
            log.exception("rollouts_not_taken_together", environment=environment)
            continue
        taken |= {plan.pk for plan in found}
    return taken


def _look_at(plan: RolloutPlan, environments: Mapping[int, Environment], known: Evidence | None, now: datetime) -> None:
    if known is not None:
        plan.verdicts = known.shown
    try:
        # The start of the plan was asked about, with all of its steps.
        with gate.permitted(), transaction.atomic():
            verdicts = None if known is None else known.verdicts
            look(actor=AUTOMATIC, plan=plan, environments=environments, now=now, verdicts=verdicts)
    except ServiceError as error:
        plan.refresh_from_db()
        plan.environment = environments[plan.environment_id]
        stop(AUTOMATIC, plan, RolloutPlan.State.HELD, f"The step could not be written: {error}")
    except Exception:
        # One plan must not keep all others from their steps.
        log.exception("rollout_failed", plan=str(plan.pk))
        RolloutPlan.objects.filter(pk=plan.pk).update(due_at=now + _AGAIN)
