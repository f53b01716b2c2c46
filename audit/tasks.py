"""The log's task: signed heads, so that rows removed at a chain's end show."""

from dataclasses import asdict
from pathlib import Path

import structlog
from celery import shared_task
from django.conf import settings

from audit.chain import append_heads

log = structlog.get_logger(__name__)


@shared_task(name="audit.heads")
def write_heads() -> None:
    """Into the file, and into the logs, which an installation usually ships to another machine."""
    for head in append_heads(Path(settings.AUDIT_HEADS_FILE)):
        log.info("audit_head", **asdict(head))
