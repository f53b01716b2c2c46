"""Background work of tenancy: jobs that erase or export a person's data."""

from celery import shared_task

from audit.actors import system
from tenancy.privacy.jobs import run_privacy_jobs as run


@shared_task(name="tenancy.run_privacy_jobs")
def run_privacy_jobs() -> int:
    """Do what is waiting. It runs at once when a job is made, and each minute, if the message was lost."""
    return run(actor=system("privacy"))
