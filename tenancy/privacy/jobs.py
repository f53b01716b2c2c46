"""Jobs that erase or export what is stored of a person, place by place."""

import gzip
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

import audit.services
from audit.actors import Actor
from audit.export_formats import json_bytes
from audit.redaction import redacting
from tenancy.errors import Invalid, ServiceError
from tenancy.models import Environment, Organization, PrivacyJob
from tenancy.privacy.people import Found, Person, Place, places
from tenancy.refusals import refuse_if_any, text_problems
from tenancy.signals import privacy_job_created

log = structlog.get_logger(__name__)

KEPT_DAYS: Final = 7
MOST_FILE_BYTES: Final = 64 * 1024 * 1024
_MOST_ID_CHARACTERS = 1024
_MOST_KIND_CHARACTERS = 100
_REQUESTED = {PrivacyJob.Act.ERASE: "privacy.erasure_requested", PrivacyJob.Act.EXPORT: "privacy.export_requested"}
_FINISHED = {PrivacyJob.Act.ERASE: "privacy.erased", PrivacyJob.Act.EXPORT: "privacy.exported"}


@transaction.atomic
def request_privacy_job(*, actor: Actor, organization: Organization, act: str, kind: str, person_id: str) -> PrivacyJob:
    """Create a job, which a worker does. Raises Invalid."""
    for attr, text, most in (("kind", kind, _MOST_KIND_CHARACTERS), ("id", person_id, _MOST_ID_CHARACTERS)):
        if not 0 < len(text) <= most:
            raise Invalid(f"Send 1 to {most:,} characters.", attr=attr, code="required" if not text else "max_length")
        refuse_if_any(text_problems(attr, text))
    person = Person(kind, person_id)
    job = PrivacyJob.objects.create(
        organization=organization,
        act=act,
        kind=kind,
        person_id=person_id,
        trace=person.trace,
        requested_by=actor.label,
    )
    job.total = len(_steps(job))
    job.save(update_fields=["total"])
    audit.services.record(
        actor=actor, action=_REQUESTED[PrivacyJob.Act(act)], at=organization, key=person.trace, after={"kind": kind}
    )
    transaction.on_commit(lambda: privacy_job_created.send(sender=PrivacyJob), robust=True)
    return job


def run_privacy_jobs(*, actor: Actor) -> int:
    """Do what is waiting, and what a process that is gone had begun. Return how many jobs were done."""
    done = 0
    while (job := _claim()) is not None:
        _run(job, actor)
        done += 1
    _let_files_go()
    return done


@transaction.atomic
def _claim() -> PrivacyJob | None:
    # No task lives longer, so the process that had the job is gone. A single step may take long.
    silent = timezone.now() - timedelta(seconds=settings.CELERY_TASK_TIME_LIMIT)
    due = Q(state=PrivacyJob.State.WAITING) | Q(state=PrivacyJob.State.RUNNING, updated_at__lt=silent)
    job = PrivacyJob.objects.select_for_update(skip_locked=True).filter(due).order_by("created_at").first()
    if job is not None:
        job.state = PrivacyJob.State.RUNNING
        job.save(update_fields=["state", "updated_at"])
    return job


def _run(job: PrivacyJob, actor: Actor) -> None:
    person = Person(job.kind, job.person_id)
    try:
        if job.act == PrivacyJob.Act.ERASE:
            with redacting(person.id, person.trace):
                _erase(job, person, actor)
        else:
            _export(job, person)
    except ServiceError as error:
        _end(job, PrivacyJob.State.FAILED, why=error.problems[0].detail)
    except Exception as error:
        log.exception("privacy_job_failed", job=str(job.pk))
        _end(job, PrivacyJob.State.FAILED, why=f"{type(error).__name__}; the worker's log has more. Ask for it again.")
    else:
        _finish(job, person, actor)


def _erase(job: PrivacyJob, person: Person, actor: Actor) -> None:
    # One that was begun before starts over: environments may have come or gone, and erasing again does no harm. What
    # was erased then stays counted; what remains is counted anew.
    for place, scope in _begun(job, [row for row in job.report if not row["remains"]]):
        for found in place.erase(person, scope, actor):
            _note(job, found)
        _step_done(job)


def _export(job: PrivacyJob, person: Person) -> None:
    steps = _begun(job, [])
    buffer = BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as file:
        for place, scope in steps:
            for line in _where(place.read(person, scope), scope):
                file.write(json_bytes(line) + b"\n")
                _note(job, Found(str(line["place"]), 1))
                if buffer.tell() > MOST_FILE_BYTES:
                    raise Invalid("It is more than fits into one file; use `manage.py forget_user --export`.")
            _step_done(job)
    job.file = buffer.getvalue()
    job.file_bytes = len(job.file)


def _where(lines: Iterator[dict[str, Any]], scope: Environment | Organization) -> Iterator[dict[str, Any]]:
    at = {"project": scope.project.key, "environment": scope.key} if isinstance(scope, Environment) else {}
    for line in lines:
        yield {"place": line["place"], **at, **line}


def _steps(job: PrivacyJob) -> list[tuple[Place, Any]]:
    environments = list(
        Environment.objects.filter(project__organization=job.organization)
        .select_related("project__organization")
        .order_by("pk")
    )
    each: list[tuple[Place, Any]] = []
    for place in places():
        each += [(place, one) for one in (environments if place.is_per_environment else [job.organization])]
    return each


def _begun(job: PrivacyJob, report: list[dict[str, Any]]) -> list[tuple[Place, Any]]:
    """The steps of a job that begins, for the first time or again."""
    steps = _steps(job)
    job.done, job.total, job.report = 0, len(steps), report
    job.save(update_fields=["done", "total", "report", "updated_at"])
    return steps


def _note(job: PrivacyJob, found: Found) -> None:
    for row in job.report:
        if (row["place"], row["remains"]) == (found.place, found.remains):
            row["count"] += found.count
            return
    job.report.append({"place": found.place, "count": found.count, "remains": found.remains})


def _step_done(job: PrivacyJob) -> None:
    job.done += 1
    job.save(update_fields=["done", "report", "updated_at"])


@transaction.atomic
def _finish(job: PrivacyJob, person: Person, actor: Actor) -> None:
    if job.act == PrivacyJob.Act.ERASE:
        _note(job, Found("exports", _erase_exports(job)))
    counts = {row["place"]: row["count"] for row in job.report if not row["remains"]}
    remaining: Counter[str] = Counter()
    for row in job.report:
        if row["remains"]:
            remaining[row["place"]] += row["count"]
    _end(job, PrivacyJob.State.DONE)
    audit.services.record(
        actor=actor,
        action=_FINISHED[PrivacyJob.Act(job.act)],
        at=job.organization,
        key=person.trace,
        after={"kind": job.kind, "counts": counts, "remaining": dict(remaining), "requestedBy": job.requested_by},
    )


def _erase_exports(job: PrivacyJob) -> int:
    """Delete the files that were made for the person before."""
    same = PrivacyJob.objects.filter(organization=job.organization_id, kind=job.kind, trace=job.trace)
    return same.filter(file_bytes__gt=0).update(file=None, file_bytes=0)


def _end(job: PrivacyJob, state: str, *, why: str = "") -> None:
    job.state, job.error, job.finished_at = state, why, timezone.now()
    # The job must not be the last place where the id stands.
    job.person_id = ""
    job.save()


def _let_files_go() -> None:
    old = timezone.now() - timedelta(days=KEPT_DAYS)
    PrivacyJob.objects.filter(finished_at__lt=old, file_bytes__gt=0).update(file=None, file_bytes=0)
