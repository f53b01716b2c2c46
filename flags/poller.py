"""The thread behind the listener: every few seconds, or when woken, it asks PostgreSQL and mends what is amiss."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections, connections
from redis.exceptions import RedisError

from flags import propagation, standby

if TYPE_CHECKING:
    from flags.runtime import Runtime

log = structlog.get_logger(__name__)

# Never longer than the setting says, and spread so that the processes of a fleet do not ask in step.
_SPREAD = (0.7, 1.0)
_STARTING_SECONDS = 1.0


class Poller:
    """Asks, and publishes or copies what a writer that crashed or a Redis that was away has left undone."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="flags-poll", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        self._stop.set()
        self._wake.set()

    def join(self, timeout_seconds: float) -> None:
        if self._thread is not None:
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while not self._stop.is_set():
            seconds = settings.POLL_SECONDS if self._runtime.is_ready else min(settings.POLL_SECONDS, _STARTING_SECONDS)
            self._wake.wait(seconds * random.uniform(*_SPREAD))  # noqa: S311 - jitter, not a secret
            # Cleared before asking: what wakes us from here on is asked about again.
            self._wake.clear()
            if not self._stop.is_set():
                self.poll()
        connections.close_all()

    def poll(self) -> None:
        """Once, whatever is away: each failure is logged when it begins."""
        try:
            self._runtime.refresh()
            self._mend()
        except (DatabaseError, InterfaceError) as error:
            if self._runtime.is_database_there:
                log.warning("poll_lost_database", error=type(error).__name__)
            self._runtime.is_database_there = False
        except Exception:
            # The next round may do better; without this thread nothing would ever be mended.
            log.exception("poll_failed")
        finally:
            close_old_connections()

    def _mend(self) -> None:
        environments = self._runtime.environments
        try:
            propagation.sweep({pk: environment.version for pk, environment in environments.items()})
            standby.keep_up(environments)
        except RedisError as error:
            # The listener says when Redis goes; here it only means that there is nothing to mend.
            log.debug("mending_lost_redis", error=type(error).__name__)
