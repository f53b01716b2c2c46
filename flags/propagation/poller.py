"""The thread behind the listener: every few seconds, or when woken, it asks PostgreSQL and mends what is amiss."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from typing import Protocol

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections, connections
from openflagship.engine import CompiledEnvironment
from redis.exceptions import RedisError

from flags.prometheus import EVALUATIONS
from flags.propagation import cold_start_copy, publishing
from flags.propagation.acknowledgements import ACKNOWLEDGEMENTS

log = structlog.get_logger(__name__)

# Never longer than the setting says, and spread so that the processes of a fleet do not ask in step.
_SPREAD = (0.7, 1.0)
_STARTING_SECONDS = 1.0
_SIGN_OF_LIFE_SECONDS = 25.0
OWN_SDK = "flagship"


class Polled(Protocol):
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
    """Asks, and publishes or copies what a writer that crashed or a Redis that was away has left undone."""

    def __init__(self, runtime: Polled) -> None:
        self._runtime = runtime
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        # By environment: the version last told to the kill status, and when.
        self._told: dict[int, tuple[int, float]] = {}

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
            self._catch_up_from_copy()
        except Exception:
            # The next round may do better; without this thread nothing would ever be mended.
            log.exception("poll_failed")
        finally:
            EVALUATIONS.harvest()
            close_old_connections()

    def _catch_up_from_copy(self) -> None:
        try:
            self._runtime.catch_up_from_copy()
        except RedisError as error:
            log.debug("catch_up_lost_redis", error=type(error).__name__)
        except Exception:
            # What is damaged there may be mended by the time PostgreSQL is back; until then this thread has to live.
            log.exception("catch_up_failed")

    def _report(self) -> None:
        """Tell the kill status what this process has applied: when that changes, and now and then as a sign of life."""
        now = time.monotonic()
        for environment_id, environment in self._runtime.environments.items():
            version, told_at = self._told.get(environment_id, (-1, 0.0))
            if environment.version != version or now - told_at > _SIGN_OF_LIFE_SECONDS:
                ACKNOWLEDGEMENTS.add(environment_id, self._runtime.instance, OWN_SDK, environment.version)
                self._told[environment_id] = (environment.version, now)
        ACKNOWLEDGEMENTS.flush()

    def _mend(self) -> None:
        environments = self._runtime.environments
        try:
            publishing.sweep({pk: environment.version for pk, environment in environments.items()})
            self._report()
            cold_start_copy.keep_up(environments)
        except RedisError as error:
            # The listener says when Redis goes; here it only means that there is nothing to mend.
            log.debug("mending_lost_redis", error=type(error).__name__)
