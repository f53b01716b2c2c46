"""Writes of the scheduled jobs: raise an alarm once, act on it as configured, and record a run."""

from datetime import datetime
from typing import Final

from django.db import transaction
from django.utils import timezone

import audit.services
from audit.actors import Actor
from experiments.models import Alarm, Experiment, ExperimentMetric, JobRun, Phase
from experiments.services.lifecycle import pause_experiment
from experiments.signals import experiment_alarmed
from flags.services import kill_flag

_ACTION = ExperimentMetric.Action


@transaction.atomic
def raise_alarm(
    *, actor: Actor, experiment: Experiment, phase: Phase, kind: str, subject: str, action: str, detail: str
) -> bool:
    """Raise an alarm that the phase has not had yet: signal it, audit it, and pause or kill where that is configured.

    Return whether it is new. An old alarm does not pause or kill again after a resume or a release.
    """
    alarm, is_new = Alarm.objects.get_or_create(
        phase=phase,
        kind=kind,
        subject=subject,
        defaults={"action": action, "detail": detail, "raised_at": timezone.now()},
    )
    if not is_new:
        return False
    environment = experiment.environment
    if action == _ACTION.KILL:
        kill_flag(
            actor=actor,
            environment=environment,
            key=experiment.config.flag.key,
            variant=experiment.control_variant,
            reason=detail,
        )
    if action in {_ACTION.PAUSE, _ACTION.KILL} and experiment.status == Experiment.Status.RUNNING:
        pause_experiment(actor=actor, environment=environment, pk=experiment.pk, reason=detail)
    experiment_alarmed.send(sender=Experiment, experiment=experiment, kind=kind, action=action, detail=detail)
    audit.services.record(
        actor=actor,
        action="experiment.alarmed",
        at=experiment.environment,
        key=experiment.key,
        after={"kind": kind, "subject": subject, "action": action, "detail": alarm.detail, "phase": phase.number},
        reason=detail,
    )
    return True


# With it the outcome of a run begins that failed.
FAILED: Final = "failed"


def note_run(*, experiment: Experiment, job: str, started_at: datetime, duration_ms: int, outcome: str) -> None:
    """Record a job's last run for the console. A run changes nothing that is served, so it is not audited."""
    JobRun.objects.update_or_create(
        experiment=experiment,
        job=job,
        defaults={"started_at": started_at, "duration_ms": duration_ms, "outcome": outcome[:200]},
    )


@transaction.atomic
def note_failed_run(
    *, actor: Actor, experiment: Experiment, job: str, started_at: datetime, duration_ms: int, outcome: str
) -> None:
    """Record a failed run. The first one after a run that went well is an event, so that somebody hears of it."""
    runs = JobRun.objects.select_for_update().filter(experiment=experiment, job=job)
    last = runs.values_list("outcome", flat=True).first()
    note_run(experiment=experiment, job=job, started_at=started_at, duration_ms=duration_ms, outcome=outcome)
    if last is None or not last.startswith(FAILED):
        audit.services.record(
            actor=actor,
            action="job.failed",
            at=experiment.environment,
            key=experiment.key,
            after={"job": job, "why": outcome},
        )
