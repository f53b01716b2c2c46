"""Logs: structlog over the standard library. An event is one line with the request id, without secrets."""

import re
from typing import Any

import structlog

_SECRET = re.compile(r"fs_(?:server|client|manage)_[A-Za-z0-9_-]+|(?i:bearer)\s+[A-Za-z0-9._~+/=-]+")


def _redact(_logger: Any, _method: str, line: str) -> str:
    """Replace what looks like a credential, so that a secret in a line does not outlive it in a log."""
    return _SECRET.sub("[redacted]", line) if "fs_" in line or "earer" in line else line


_SHARED: list[structlog.types.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    # Celery would log each message once more, with all arguments of the task.
    structlog.stdlib.ExtraAdder(allow=["request", "status_code"]),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


def logging_config(*, log_format: str, level: str) -> dict[str, Any]:
    """Return Django's LOGGING, and configure structlog to run through it, so that libraries' lines look like ours."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    # If rich is installed, structlog would print a traceback's local variables, callers' keys and users among them.
    renderers: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "unexpected": {
                "()": "django.utils.log.CallbackFilter",
                "callback": lambda record: getattr(record, "status_code", 500) != 503,
            }
        },
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _SHARED,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers, _redact],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Django logs each 4xx as a warning and each 503 as an error. Their answers explain them to the caller.
            "django.request": {"level": "ERROR", "filters": ["unexpected"]},
            "celery.redirected": {"level": "WARNING"},
            # Some tasks run every few seconds: that one was sent, came and ended well would drown everything else.
            "celery.beat": {"level": "WARNING"},
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
        },
    }
