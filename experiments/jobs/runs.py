"""The scheduled jobs. They are idempotent, and each experiment has one job at a time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import structlog
from django.db import DatabaseError, connection, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from analytics.selectors import GRACE
from audit.actors import system
from experiments import selectors
from experiments.analysis import ComputedResults, analyse, window_of
from experiments.analysis.window import whole_phase
from experiments.models import Alarm, Experiment, ExperimentMetric, ExperimentResult
from experiments.services.alarms import FAILED, note_failed_run, note_run, raise_alarm
from experiments.services.lifecycle import free_layer_range, pause_experiment, start_experiment
from experiments.services.results import refresh_breakdowns, refresh_rollups, store_results
from flags.models import LayerSlot
from tenancy.errors import ServiceError

log = structlog.get_logger(__name__)

NIGHTLY: Final = "nightly results"
BREAKDOWNS: Final = "breakdowns' figures kept"
WATCH: Final = "guardrails and sample ratio"
SCHEDULE: Final = "scheduled start and end"
FREE: Final = "layer's buckets given back"
GIVEN_BACK: Final = "given back"
GONE: Final = "gone"
NOTHING_YET: Final = "nothing yet: started after the last midnight"
BUSY: Final = "busy: another process is at it"
# A constant that no other advisory lock of FlagShip uses.
_LOCK_SPACE = 0x0E59E1


def store_nightly(experiment_id: str | UUID, *, now: datetime | None = None) -> str:
    """Store the results as of the last midnight (UTC). A second run for the same night adds nothing."""
    midnight = _last_midnight(now)

    def work(experiment: Experiment) -> str:
        if not _had_started(experiment, midnight):
            return NOTHING_YET
        window = window_of(experiment, now=midnight)
        refresh_rollups(experiment=experiment, window=window)
        row, report = store_results(experiment=experiment, window=window)
        alarms = _raise_alarms(experiment, report)
        earlier = _store_earlier_phases(experiment, midnight)
        return (
            f"stored {row.digest[:12]}{f', {alarms} new alarms' if alarms else ''}"
            f"{f', {earlier} earlier phases for good' if earlier else ''}"
        )

    return _alone(NIGHTLY, experiment_id, work)


def store_breakdowns(experiment_id: str | UUID, *, now: datetime | None = None) -> str:
    """Refresh the roll-ups that breakdowns read, for the days up to the last midnight (UTC).

    Each day has a transaction of its own, so that opening a phase or erasing a user waits for one day at most.
    """
    pk, midnight = UUID(str(experiment_id)), _last_midnight(now)
    with _noted(BREAKDOWNS, pk) as note:
        experiment = selectors.with_parts(Experiment.objects.filter(pk=pk)).first()
        if experiment is None:
            return GONE
        outcome = NOTHING_YET
        if _had_started(experiment, midnight):
            days = refresh_breakdowns(experiment=experiment, window=window_of(experiment, now=midnight))
            outcome = f"{days} days summed up"
        note(experiment, outcome)
    return outcome


def watch(experiment_id: str | UUID, *, now: datetime | None = None) -> str:
    """Check guardrails and sample ratio, and act as configured: warn, pause or kill. The system is the actor."""

    def work(experiment: Experiment) -> str:
        if experiment.status != Experiment.Status.RUNNING:
            return f"nothing to do: {experiment.status}"
        alarms = _raise_alarms(experiment, analyse(experiment, window_of(experiment, now=now)))
        return f"{alarms} new alarms" if alarms else "no new alarm"

    return _alone(WATCH, experiment_id, work)


def keep_schedule(experiment_id: str | UUID, *, now: datetime | None = None) -> str:
    """Start a draft whose start date has passed, and pause a running experiment whose end date has passed."""
    moment = now or timezone.now()
    actor = system("experiment schedule")

    def work(experiment: Experiment) -> str:
        environment, pk = experiment.environment, experiment.pk
        is_draft = experiment.status == Experiment.Status.DRAFT
        if is_draft and experiment.starts_at and experiment.starts_at <= moment:
            try:
                start_experiment(actor=actor, environment=environment, pk=pk, reason="Its date had come.")
            except ServiceError as refusal:
                return f"not started: {refusal}"
            return "started"
        is_running = experiment.status == Experiment.Status.RUNNING
        if is_running and experiment.ends_at and experiment.ends_at <= moment:
            pause_experiment(actor=actor, environment=environment, pk=pk, reason="Its end had come; decide.")
            return "paused at its end"
        return "not due"

    return _alone(SCHEDULE, experiment_id, work)


def free_layer(experiment_id: str | UUID) -> str:
    """Return the buckets of a completed experiment to its layer after the resting time."""
    actor = system("experiment schedule")

    def work(experiment: Experiment) -> str:
        is_freed = free_layer_range(actor=actor, environment=experiment.environment, pk=experiment.pk)
        return GIVEN_BACK if is_freed else "nothing to give back"

    return _alone(FREE, experiment_id, work)


def rested_ids(now: datetime | None = None) -> list[str]:
    """Completed experiments whose events no longer count and that still have buckets of a layer."""
    until = (now or timezone.now()) - GRACE
    resting = Experiment.objects.filter(status=Experiment.Status.COMPLETED, ended_at__lte=until, layer__isnull=False)
    holding = LayerSlot.objects.filter(experiment_id=OuterRef("pk"))
    return [str(pk) for pk in resting.filter(Exists(holding)).order_by("pk").values_list("pk", flat=True)]


def nightly_ids() -> list[str]:
    """Experiments whose figures may still change: running, paused, and completed without final results."""
    served = Experiment.objects.filter(status__in=Experiment.SERVED)
    final = ExperimentResult.objects.filter(phase__ended_at=OuterRef("ended_at"), phase__experiment=OuterRef("pk"))
    ended = Experiment.objects.filter(~Exists(final.filter(is_final=True)), status=Experiment.Status.COMPLETED)
    return [str(pk) for pk in (served | ended).order_by("pk").values_list("pk", flat=True)]


def broken_down_ids() -> list[str]:
    """The experiments of `nightly_ids` that have breakdowns."""
    found = Experiment.objects.filter(pk__in=nightly_ids()).exclude(breakdowns=[])
    return [str(pk) for pk in found.order_by("pk").values_list("pk", flat=True)]


def watched_ids() -> list[str]:
    return [str(pk) for pk in Experiment.objects.filter(status=Experiment.Status.RUNNING).values_list("pk", flat=True)]


def due_ids(now: datetime | None = None) -> list[str]:
    moment = now or timezone.now()
    starting = Experiment.objects.filter(status=Experiment.Status.DRAFT, starts_at__lte=moment)
    ending = Experiment.objects.filter(status=Experiment.Status.RUNNING, ends_at__lte=moment)
    return [str(pk) for pk in (starting | ending).order_by("pk").values_list("pk", flat=True)]


def _last_midnight(now: datetime | None) -> datetime:
    return (now or timezone.now()).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _had_started(experiment: Experiment, moment: datetime) -> bool:
    phases = list(experiment.phases.all())
    return bool(phases) and phases[-1].started_at < moment


def _store_earlier_phases(experiment: Experiment, midnight: datetime) -> int:
    """Store the final results of phases that others followed; return how many were not stored yet."""
    waiting = experiment.phases.filter(ended_at__lte=midnight - GRACE).exclude(results__is_final=True)
    found = [whole_phase(phase, midnight) for phase in waiting]
    for window in found:
        refresh_rollups(experiment=experiment, window=window)
        store_results(experiment=experiment, window=window)
    return len(found)


def _raise_alarms(experiment: Experiment, report: ComputedResults) -> int:
    """Raise the new alarms and return their number. A paused experiment is not paused again."""
    actor = system("experiment watch")
    raised = 0
    if report.ratio.is_alarming and experiment.status == Experiment.Status.RUNNING:
        action = ExperimentMetric.Action.PAUSE if experiment.auto_pause_on_srm else ExperimentMetric.Action.WARN
        days = ", ".join(day.isoformat() for day in report.ratio.flagged_days)
        raised += raise_alarm(
            actor=actor,
            experiment=experiment,
            phase=report.window.phase,
            kind=Alarm.Kind.SRM,
            subject="",
            action=action,
            detail=f"Users do not arrive in the split's proportions{f' ({days})' if days else ''}.",
        )
    for item in report.guardrails:
        if item["violated"] and experiment.status == Experiment.Status.RUNNING:
            raised += raise_alarm(
                actor=actor,
                experiment=selectors.get_experiment(experiment.environment, experiment.pk),
                phase=report.window.phase,
                kind=Alarm.Kind.GUARDRAIL,
                subject=f"{item['metric']}: {item['variant']}",
                action=item["action"],
                detail=f"{item['metric']} is worse for {item['variant']} by {abs(item['relativeLift'] or 0.0):.1%}, "
                f"more than the {item['marginPercent']:g} % allowed.",
            )
    return raised


def _alone(job: str, experiment_id: str | UUID, work: Callable[[Experiment], str]) -> str:
    """Do the work unless another process does it. An advisory lock per experiment holds until the transaction ends."""
    pk = UUID(str(experiment_id))
    with _noted(job, pk) as note, transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [_LOCK_SPACE, pk.int % 2**31])
            if not cursor.fetchone()[0]:
                return BUSY
        experiment = selectors.with_parts(Experiment.objects.filter(pk=pk)).first()
        if experiment is None:
            return GONE
        outcome = work(experiment)
        note(experiment, outcome)
    return outcome


@contextmanager
def _noted(job: str, pk: UUID) -> Iterator[Callable[[Experiment, str], None]]:
    """Yield a function that records the outcome of a run. A failure is recorded as well."""
    began, started_at = time.monotonic(), timezone.now()

    def note(experiment: Experiment, outcome: str) -> None:
        _note(experiment, job, started_at, began, outcome)

    try:
        yield note
    except Exception as error:
        # The rollback removed any record of this run, so the failure is recorded anew, unless the database is down.
        with suppress(DatabaseError):
            failed = Experiment.objects.filter(pk=pk).first() if not connection.in_atomic_block else None
            if failed is not None:
                duration_ms = int((time.monotonic() - began) * 1000)
                note_failed_run(
                    actor=system(job),
                    experiment=failed,
                    job=job,
                    started_at=started_at,
                    duration_ms=duration_ms,
                    outcome=f"{FAILED}: {type(error).__name__}: {error}",
                )
        raise


def _note(experiment: Experiment, job: str, started_at: datetime, began: float, outcome: str) -> None:
    duration_ms = int((time.monotonic() - began) * 1000)
    note_run(experiment=experiment, job=job, started_at=started_at, duration_ms=duration_ms, outcome=outcome)
    log.info("experiment job", job=job, experiment=experiment.key, outcome=outcome, duration_ms=duration_ms)
