"""When each job last ran and when it runs next, from the recorded runs and Celery's schedule."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from celery.schedules import maybe_schedule
from django.conf import settings
from django.utils import timezone

from analytics.selectors import GRACE
from experiments.jobs import runs
from experiments.models import Experiment, JobRun
from tenancy.models import Environment

# The scheduled task that dispatches each job.
TASKS: Final = {
    runs.NIGHTLY: "experiments.nightly",
    runs.BREAKDOWNS: "experiments.nightly",
    runs.WATCH: "experiments.watch",
    runs.SCHEDULE: "experiments.schedule",
    runs.FREE: "experiments.nightly",
}
# A job that is this late counts as stopped.
_LATE = timedelta(minutes=5)
_LAST = datetime(2101, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class JobState:
    """One job of one experiment: its last run (None: never), and its next (None: it has nothing left to do)."""

    job: str
    experiment: Experiment
    last: JobRun | None
    next_at: datetime | None
    is_late: bool

    @property
    def is_failed(self) -> bool:
        return self.last is not None and self.last.outcome.startswith(runs.FAILED)


def job_states(environments: Iterable[Environment], *, now: datetime | None = None) -> list[JobState]:
    """Every job that has run or will run for the environments' experiments, the newest experiments first."""
    moment = now or timezone.now()
    found = Experiment.objects.filter(environment__in=list(environments)).select_related("environment__project")
    states: list[JobState] = []
    for experiment in found.prefetch_related("job_runs").order_by("-id"):
        by_job = {run.job: run for run in experiment.job_runs.all()}
        for job in TASKS:
            last, since = by_job.get(job), _waits_since(experiment, job, moment)
            if job == runs.FREE and last is not None and last.outcome == runs.GIVEN_BACK:
                since = None
            if last is None and since is None:
                continue
            next_at = None
            if since is not None:
                # A date that was stored before dates had a range may leave no room for what is added to it.
                since = min(since, _LAST)
                seen = max(last.started_at, since) if last else since
                next_at = max(next_run(job, seen), since)
            is_late = next_at is not None and next_at + _LATE < moment
            states.append(JobState(job, experiment, last, next_at, is_late))
    return states


def next_run(job: str, after: datetime) -> datetime:
    """The first time after that moment at which the job is dispatched."""
    every = next(entry for entry in settings.CELERY_BEAT_SCHEDULE.values() if entry["task"] == TASKS[job])
    timetable = maybe_schedule(every["schedule"])
    # Celery answers the time that is left from now, so the same question has a slightly different answer each time.
    found = timetable.now() + timetable.remaining_estimate(after) + timedelta(seconds=0.5)
    return found.replace(microsecond=0)


def _waits_since(experiment: Experiment, job: str, now: datetime) -> datetime | None:
    """Since when the job has something to do for the experiment; None where it has nothing to do."""
    if job == runs.SCHEDULE:
        due = {Experiment.Status.DRAFT: experiment.starts_at, Experiment.Status.RUNNING: experiment.ends_at}
        return due.get(Experiment.Status(experiment.status))
    if job == runs.WATCH:
        return experiment.started_at if experiment.status == Experiment.Status.RUNNING else None
    if job == runs.BREAKDOWNS and not experiment.breakdowns:
        return None
    if job in {runs.NIGHTLY, runs.BREAKDOWNS}:
        is_frozen = experiment.ended_at is not None and experiment.ended_at + GRACE + timedelta(days=1) < now
        return None if is_frozen else experiment.started_at
    is_resting = experiment.layer_id is not None and experiment.ended_at is not None
    return experiment.ended_at + GRACE if is_resting and experiment.ended_at else None
