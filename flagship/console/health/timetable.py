"""What the scheduler did last: jobs on an environment's experiments by kind, and upkeep of the installation."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from celery.schedules import maybe_schedule
from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from experiments.jobs.timetable import TASKS, JobState, job_states
from tenancy.console_kit.pages import in_environment
from tenancy.models import Environment

_UPKEEP: Final = {
    "flags.purge_archived": "Purge archived flags",
    "flags.prune_version_log": "Prune the version log",
    "flags.look_after_flags": "Work out flag debt, remind owners",
    "analytics.make_partitions": "Create event partitions",
    "analytics.apply_retention": "Remove old events",
    "analytics.aggregate_flags": "Count past days of flags",
    "analytics.find_fast_bots": "Bot detection",
    "experiments.watch_splits": "Look at flags' splits",
    "audit.heads": "Record the audit log's heads",
}
# Every three minutes beat stores when it handed a task out.
_LATE: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Kind:
    """A job over all experiments of an environment: its latest run (None: never) and what failed."""

    environment: Environment
    job: str
    last_at: datetime | None
    outcome: str
    next_at: datetime | None
    failed: int
    late: int

    @property
    def tone(self) -> str:
        return "bad" if self.failed else "warn" if self.late else "good" if self.last_at else ""

    @property
    def url(self) -> str:
        return in_environment("admin:experiments_experiment_jobs", self.environment)


@dataclass(frozen=True, slots=True)
class Upkeep:
    """A task of the whole installation: when it was last handed out (None: never), and when it is due next."""

    task: str
    name: str
    last_at: datetime | None
    next_at: datetime | None
    is_late: bool

    @property
    def url(self) -> str:
        return f"{reverse('console_health')}#upkeep"


def kinds_of_jobs(environment: Environment, states: Iterable[JobState] | None = None) -> list[Kind]:
    """List the kinds in the order of the timetable. A job that never ran and has nothing to do is left out."""
    order = list(TASKS)
    found = sorted(job_states([environment]) if states is None else states, key=lambda state: order.index(state.job))
    return [_kind(environment, job, list(group)) for job, group in groupby(found, key=lambda state: state.job)]


def _kind(environment: Environment, job: str, states: list[JobState]) -> Kind:
    runs = [state.last for state in states if state.last is not None]
    last = max(runs, key=lambda run: run.started_at, default=None)
    return Kind(
        environment=environment,
        job=job,
        last_at=last.started_at if last else None,
        outcome=last.outcome if last else "",
        next_at=min((state.next_at for state in states if state.next_at is not None), default=None),
        failed=sum(state.is_failed for state in states),
        late=sum(state.is_late for state in states),
    )


def upkeep(*, now: datetime | None = None) -> list[Upkeep]:
    """Read beat's records in one query. A task that beat does not know yet has not been handed out."""
    moment = now or timezone.now()
    known = {row.task: row for row in PeriodicTask.objects.filter(task__in=_UPKEEP, enabled=True)}
    schedules = {entry["task"]: entry["schedule"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    found = []
    for task, name in _UPKEEP.items():
        row = known.get(task)
        # Before a task's first run, beat counts from the moment at which it learnt of the task.
        since = (row.last_run_at or row.date_changed) if row else None
        next_at = None
        if since is not None:
            timetable = maybe_schedule(schedules[task])
            next_at = (timetable.now() + timetable.remaining_estimate(since)).replace(microsecond=0)
        last_at = row.last_run_at if row is not None and row.total_run_count else None
        found.append(Upkeep(task, name, last_at, next_at, next_at is not None and next_at + _LATE < moment))
    return found
