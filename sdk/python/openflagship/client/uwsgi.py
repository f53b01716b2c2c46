"""uWSGI loads the application in a process that it then forks in C, whatever Python's threads are at."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any


def _uwsgi() -> Any:
    """uWSGI's own module, which is there in its processes alone; else None."""
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
    """Have each worker call that before its first request, after what was to be called anyway."""
    uwsgi = _uwsgi()
    before = getattr(uwsgi, "post_fork_hook", None)

    def both() -> None:
        if before is not None:
            before()
        call()

    uwsgi.post_fork_hook = both
