"""The log's task: signed heads, so that rows removed at a chain's end show."""

from pathlib import Path

from celery import shared_task
from django.conf import settings

from audit.chain import append_heads


@shared_task(name="audit.heads")
def write_heads() -> None:
    """Into the file, and into the logs, which an installation usually ships to another machine."""
    append_heads(Path(settings.AUDIT_HEADS_FILE))
