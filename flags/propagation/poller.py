"""The thread that asks PostgreSQL every few seconds, or when woken, and repairs what the listener missed."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Mapping
from typing import Protocol

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections, connections
from openflagship.engine import CompiledEnvironment
from openflagship.wire.acknowledgements import understanding_of
from redis.exceptions import RedisError

from analytics.pipeline.stream_metrics import observe_stream
from analytics.usage.tally import USAGE
from flags.prometheus import EVALUATIONS
from flags.propagation import cold_start_copy, publishing
from flags.propagation.acknowledgements import ACKNOWLEDGEMENTS, OWN_SDK, dead_neighbours, forget
from flags.propagation.deadlines import DATABASE_SECONDS, broken_off_after

log = structlog.get_logger(__name__)

# A wait is never longer than the setting, and random, so that the processes of a fleet do not all ask at once.
_SPREAD = (0.7, 1.0)
# While it starts, and while PostgreSQL is away: what comes back is noticed soon.
_TROUBLED_SECONDS = 1.0
_SIGN_OF_LIFE_SECONDS = 25.0


class PolledRuntime(Protocol):
    """What the poller keeps current: the process's runtime."""

    is_database_there: bool

    @property
    def environments(self) -> Mapping[int, CompiledEnvironment]: ...

    @property
    def instance(self) -> str: ...

    @property
    def is_ready(self) -> bool: ...

    def refresh(self) -> None: ...

    def catch_up_from_copy(self) -> None: ...


class Poller:
    """Refreshes the runtime, and publishes or copies what a crash or an absent Redis left undone."""

    def __init__(self, runtime: PolledRuntime) -> None:
        self._runtime = runtime
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        # By environment: the version that was last reported for the kill status, and when.
        self._told: dict[int, tuple[int, float]] = {}
        self._tidied_at = float("-inf")

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
            is_well = self._runtime.is_ready and self._runtime.is_database_there
            seconds = settings.POLL_SECONDS if is_well else min(settings.POLL_SECONDS, _TROUBLED_SECONDS)
            self._wake.wait(seconds * random.uniform(*_SPREAD))  # noqa: S311 - jitter, not a secret
            # It is cleared before asking, so that a wake-up during the query leads to another query.
            self._wake.clear()
            if not self._stop.is_set():
                self.poll()
        with broken_off_after(DATABASE_SECONDS):
            USAGE.close()
        connections.close_all()

    def poll(self) -> None:
        """Refresh once. A failure is logged when it begins, and never raised."""
        try:
            self._runtime.refresh()
            self._mend()
        except (DatabaseError, InterfaceError) as error:
            if self._runtime.is_database_there:
                log.warning("poll_lost_database", error=type(error).__name__)
            self._runtime.is_database_there = False
            self._catch_up_from_copy()
        except Exception:
            # This thread must go on: nothing else repairs what was missed.
            log.exception("poll_failed")
        finally:
            self._store_usage()
            EVALUATIONS.harvest()
            close_old_connections()

    def _store_usage(self) -> None:
        """What cannot be stored waits for its next time. It says nothing about the configuration."""
        if not (self._runtime.is_database_there and USAGE.is_due):
            return
        try:
            with broken_off_after(DATABASE_SECONDS):
                USAGE.flush()
        except Exception as error:
            log.warning(
                "usage_waits",
                error=type(error).__name__,
                exc_info=not isinstance(error, (DatabaseError, InterfaceError)),
            )

    def _catch_up_from_copy(self) -> None:
        try:
            self._runtime.catch_up_from_copy()
        except RedisError as error:
            log.debug("catch_up_lost_redis", error=type(error).__name__)
        except Exception:
            # The data in Redis may be damaged. This thread must go on until PostgreSQL is back.
            log.exception("catch_up_failed")

    def _report(self) -> None:
        """Report which versions this process has applied: after a change, and regularly as a sign of life."""
        now = time.monotonic()
        for environment_id, environment in self._runtime.environments.items():
            version, told_at = self._told.get(environment_id, (-1, 0.0))
            if environment.version != version or now - told_at > _SIGN_OF_LIFE_SECONDS:
                understood = understanding_of(environment)
                ACKNOWLEDGEMENTS.add(environment_id, self._runtime.instance, OWN_SDK, environment.version, understood)
                self._told[environment_id] = (environment.version, now)
        ACKNOWLEDGEMENTS.flush()
        if now - self._tidied_at > _SIGN_OF_LIFE_SECONDS:
            self._tidied_at = now
            self._tidy()

    def _tidy(self) -> None:
        """Take killed processes off the boards. A process is on all of them, so the oldest board is asked for all."""
        newest_first = sorted(self._runtime.environments, reverse=True)
        if newest_first:
            # The oldest comes last, so that a loss of Redis halfway leaves the name there for the next time.
            forget(newest_first, dead_neighbours(newest_first[-1], socket.gethostname()))

    def take_leave(self) -> None:
        """Say that this process ends, so that the kill status does not wait for it. At the exit of the process."""
        try:
            forget(self._told, [self._runtime.instance])
        except RedisError as error:
            log.debug("no_leave_taken", error=type(error).__name__)

    def _mend(self) -> None:
        environments = self._runtime.environments
        try:
            observe_stream()
            publishing.sweep({pk: environment.version for pk, environment in environments.items()})
            self._report()
            cold_start_copy.keep_up(environments)
        except RedisError as error:
            # The listener logs the loss of Redis. Here it only means that nothing can be repaired.
            log.debug("mending_lost_redis", error=type(error).__name__)
