"""uWSGI: it loads the application in one process and then forks it in C, without regard to Python's threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any


def _uwsgi() -> Any:
    """uWSGI's own module, which exists only in its processes; else None."""
    try:
        return import_module("uwsgi")
    except ImportError:
        return None


def is_to_be_forked() -> bool:
    """Whether this is uWSGI's process before the workers are: no thread may run here that a fork could cut off.

    A child would wait for good for a lock that such a thread held, Python's own among them.
    """
    uwsgi = _uwsgi()
    # Mules and spoolers are no workers either, but have a master beside them.
    return uwsgi is not None and uwsgi.worker_id() == 0 and uwsgi.masterpid() in {0, os.getpid()}


def after_fork(call: Callable[[], None]) -> None:
    """Make each worker call the function before its first request, after the hooks that are there already."""
    uwsgi = _uwsgi()
    before = getattr(uwsgi, "post_fork_hook", None)

    def both() -> None:
        if before is not None:
            before()
        call()

    uwsgi.post_fork_hook = both
