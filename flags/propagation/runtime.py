"""The compiled environments that this process evaluates from. Each is immutable and is replaced as a whole.

Two threads keep them current. The listener applies the steps that it receives on Redis pub/sub. It asks no server, so
nothing delays a kill switch. The poller asks PostgreSQL for all versions every few seconds, or at once when the
listener has missed a step, and fetches what is missing. An evaluation only reads a dict.
"""

import atexit
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing import util as multiprocessing_util
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connections
from openflagship.engine import CompiledEnvironment
from redis.exceptions import RedisError

from analytics.usage.tally import USAGE
from flags.models import Change
from flags.prometheus import PROPAGATION_SECONDS, observe_runtime
from flags.propagation import cold_start_copy
from flags.propagation.acknowledgements import ACKNOWLEDGEMENTS, OWN_SDK
from flags.propagation.deadlines import DATABASE_SECONDS, broken_off_after
from flags.propagation.listener import Listener
from flags.propagation.poller import Poller
from flags.propagation.signing import SIGNING
from flags.versions import loading
from flags.versions.loading import load_document, load_environment
from flags.versions.steps import Step
from tenancy.authentication.keyring import KEYRING
from tenancy.process_memory import on_reset

__all__ = ["RUNTIME", "Observer", "Runtime", "load_document", "load_environment"]

log = structlog.get_logger(__name__)

# An observer gets the environment's id, the steps that were applied in order (None after a fresh load), and whether
# this is a kill that was obeyed before earlier steps arrived. Such a kill comes again in its turn.
Observer = Callable[[int, Sequence[Step] | None, bool], None]


class Runtime:
    """The compiled environments of one process. `environments` is public and is read without a lock."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.environments: dict[int, CompiledEnvironment] = {}
        self.is_database_there = self.is_redis_there = False
        # When each of them last answered, by the monotonic clock.
        self.database_answered_at: float | None = None
        self.redis_answered_at: float | None = None
        self._confirmed_at: float | None = None
        self._observers: tuple[Observer, ...] = ()
        # By environment and flag: kills that arrived before earlier steps.
        self._kills_ahead: dict[tuple[int, str], Step] = {}
        self._inherited: list[object] = []
        self._pid = 0
        self._forget_threads()

    def _forget_threads(self) -> None:
        """Make locks and threads anew: a child process must not inherit a lock that nobody releases."""
        self._applying = threading.RLock()
        self._listener = Listener(self)
        self._poller = Poller(self)

    def start(self) -> None:
        """Load everything and begin to listen. A second call does nothing, except in a child process."""
        if self._pid == os.getpid():
            return
        self._pid = os.getpid()
        self._forget_threads()
        try:
            self.refresh()
        except DatabaseError as error:
            log.warning("runtime_starts_without_database", error=type(error).__name__)
            self._load_cold_start_copy()
        finally:
            close_old_connections()
        self._start_threads()
        atexit.register(self._end)
        # A worker that multiprocessing forked ends without atexit. Ending twice does no harm.
        multiprocessing_util.Finalize(None, self._end, exitpriority=10)

    def _start_threads(self) -> None:
        self._listener.start()
        self._poller.start()

    def after_fork(self) -> None:
        """In a child process: keep the configuration, and make locks, connections and threads anew."""
        if not self._pid:
            return
        self._pid = os.getpid()
        for connection in connections.all(initialized_only=True):
            # The socket belongs to the parent. It is kept here so that it is neither used nor closed.
            self._inherited.append(connection.connection)
            connection.connection = None
        self._forget_threads()
        self._start_threads()

    def stop(self, timeout_seconds: float = 5) -> None:
        self._listener.stop()
        self._poller.stop()
        self._listener.join(timeout_seconds)
        self._poller.join(timeout_seconds)
        if self._pid == os.getpid():
            self._poller.take_leave()
        self._pid = 0

    def _end(self) -> None:
        """At the exit of a process that nobody stopped in order, as a web worker's."""
        if self._pid == os.getpid():
            with broken_off_after(DATABASE_SECONDS):
                USAGE.close()
            self._poller.take_leave()

    @property
    def instance(self) -> str:
        """The name of this process in the kill status."""
        return f"{settings.PROCESS_NAME}@{socket.gethostname()}:{self._pid}"

    @property
    def is_ready(self) -> bool:
        """Whether the configuration was loaded at least once."""
        return self._confirmed_at is not None

    @property
    def age_seconds(self) -> float:
        """Seconds since the configuration was last known to be current, or infinity before it was loaded."""
        return float("inf") if self._confirmed_at is None else time.monotonic() - self._confirmed_at

    def observe(self, observer: Observer) -> None:
        """Call `observer` for every change from now on, from the thread that applies the change."""
        with self._applying:
            self._observers = (*self._observers, observer)

    def unobserve(self, observer: Observer) -> None:
        with self._applying:
            self._observers = tuple(known for known in self._observers if known != observer)

    def apply(self, step: Step) -> bool:
        """Apply one step. Return False when steps before it are missing; a kill is obeyed even then."""
        return self.apply_each([step])

    def apply_each(self, steps: Sequence[Step]) -> bool:
        """Apply steps as they arrived. Those that follow on one another are compiled and announced together.

        Return False when steps before one of them are missing; a kill is obeyed even then.
        """
        with self._applying:
            by_environment: dict[int, list[Step]] = {}
            for step in steps:
                by_environment.setdefault(step.environment_id, []).append(step)
            complete = [self._apply_to(environment_id, its) for environment_id, its in by_environment.items()]
            return all(complete)

    def _apply_to(self, environment_id: int, steps: Sequence[Step]) -> bool:
        current = self.environments.get(environment_id)
        if current is None:
            return False
        follow: list[Step] = []
        ahead: list[Step] = []
        for step in steps:
            if step.version == current.version + len(follow) + 1:
                follow.append(step)
            elif step.version > current.version + len(follow):
                ahead.append(step)
        self._advance(current, follow)
        now = time.time()
        for step in follow:
            PROPAGATION_SECONDS.observe(max(0.0, now - step.at / 1000))
        # One that came before its turn may have come in its turn as well.
        ahead = [step for step in ahead if step.version > current.version + len(follow)]
        kills_ahead = [step for step in ahead if step.is_kill]
        for kill in kills_ahead:
            self._obey_ahead(self.environments[environment_id], kill)
        for step in [*follow, *kills_ahead]:
            if step.is_kill:
                self._report(step)
        return not ahead

    def _report(self, step: Step) -> None:
        """Report that this process obeyed a kill. The poller sends the report, so that nothing waits here."""
        ACKNOWLEDGEMENTS.add(step.environment_id, self.instance, OWN_SDK, step.version)
        self.ask_now()

    def refresh(self) -> None:
        """Ask for the version of every environment and of the keyring, and fetch what differs. Raises DatabaseError.

        No query runs while the lock is held, so steps that arrive meanwhile are applied at once.
        """
        asked_at = time.monotonic()
        known = self.environments
        with broken_off_after(DATABASE_SECONDS):
            versions = loading.current_versions()
        self.database_answered_at = time.monotonic()
        if KEYRING.revision != versions.keyring:
            SIGNING.refresh()
            KEYRING.refresh(revision=versions.keyring)
        for environment_id, version in versions.environments.items():
            current = self.environments.get(environment_id)
            if current is None or current.version < version:
                self._fetch(environment_id, current)
            elif environment_id in known and known[environment_id].version > version:
                # The version here is not in the database: the database was restored from a backup.
                self._go_back(environment_id)
        with self._applying:
            gone = known.keys() - versions.environments.keys()
            if gone:
                self.environments = {pk: env for pk, env in self.environments.items() if pk not in gone}
            self.is_database_there = True
            self._confirmed_at = asked_at
            self._mark_stale(is_stale=False)

    def _fetch(self, environment_id: int, current: CompiledEnvironment | None) -> None:
        steps = None if current is None else loading.steps_since(environment_id, current.version)
        if steps is not None:
            self._follow(environment_id, steps)
            return
        loaded = load_environment(environment_id)
        if loaded is not None:
            self._take(environment_id, loaded)

    def _follow(self, environment_id: int, steps: Sequence[Step]) -> None:
        """Apply the new ones of these steps, unless a step between the current version and them is missing."""
        with self._applying:
            here = self.environments.get(environment_id)
            fresh = [step for step in steps if here is not None and step.version > here.version]
            if here is not None and fresh and fresh[0].version == here.version + 1:
                self._advance(here, fresh)

    def _go_back(self, environment_id: int) -> None:
        loaded = load_environment(environment_id)
        if loaded is None:
            return
        log.warning("environment_went_back", environment=environment_id, version=loaded.version)
        with self._applying:
            self._kills_ahead = {where: kill for where, kill in self._kills_ahead.items() if where[0] != environment_id}
            self._swap(environment_id, loaded)
            self._announce(environment_id, None)

    def _take(self, environment_id: int, loaded: CompiledEnvironment) -> None:
        with self._applying:
            here = self.environments.get(environment_id)
            if here is None or here.version < loaded.version:
                if here is not None:
                    loaded = loaded.keeping(here)
                ahead = self._flags_killed_ahead(environment_id, loaded.version)
                self._swap(environment_id, loaded.replace(loaded.version, flags=ahead) if ahead else loaded)
                self._announce(environment_id, None)

    def _advance(self, current: CompiledEnvironment, steps: Sequence[Step]) -> None:
        """Compile what the steps change, once each, and share the rest. The steps follow on `current` without a gap."""
        if not steps:
            return
        environment_id, version = steps[-1].environment_id, steps[-1].version
        flags = {step.key: step.document for step in steps if step.entity == Change.Entity.FLAG}
        segments = {step.key: step.document for step in steps if step.entity == Change.Entity.SEGMENT}
        ahead = self._flags_killed_ahead(environment_id, version)
        flags |= {key: document for key, document in ahead.items() if key in flags}
        self._swap(environment_id, current.replace(version, flags=flags, segments=segments))
        self._announce(environment_id, steps)

    def _flags_killed_ahead(self, environment_id: int, version: int) -> dict[str, Any]:
        """The documents of kills that `version` does not include yet. Kills that it includes are forgotten."""
        found = {}
        for (owner, key), kill in list(self._kills_ahead.items()):
            if owner == environment_id and kill.version <= version:
                del self._kills_ahead[owner, key]
            elif owner == environment_id:
                found[key] = kill.document
        return found

    def _obey_ahead(self, current: CompiledEnvironment, step: Step) -> None:
        """Obey a kill at once, and keep its document until the steps before it have arrived."""
        noted = self._kills_ahead.get((step.environment_id, step.key))
        if noted is None or noted.version < step.version:
            self._kills_ahead[step.environment_id, step.key] = step
            self._swap(step.environment_id, current.replace(current.version, flags={step.key: step.document}))
            self._announce(step.environment_id, [step], is_ahead=True)

    def kills_ahead(self, environment_id: int) -> list[Step]:
        """Kills that are obeyed although earlier steps have not arrived. They are read without the lock."""
        return [kill for (owner, _), kill in list(self._kills_ahead.items()) if owner == environment_id]

    def _swap(self, environment_id: int, environment: CompiledEnvironment) -> None:
        self.environments = {**self.environments, environment_id: environment}

    def _announce(self, environment_id: int, steps: Sequence[Step] | None, *, is_ahead: bool = False) -> None:
        for observer in self._observers:
            observer(environment_id, steps, is_ahead)

    def ask_now(self) -> None:
        """Let the poller ask the database now."""
        self._poller.wake()

    def check_staleness(self) -> None:
        """Also tells the gauges: a thread that never waits long calls this, and a scrape may reach another process."""
        observe_runtime(self.age_seconds if self.is_ready else -1, self.environments)
        if self.age_seconds > settings.STALE_AFTER_SECONDS:
            with self._applying:
                self._mark_stale(is_stale=self.age_seconds > settings.STALE_AFTER_SECONDS)

    def _mark_stale(self, *, is_stale: bool) -> None:
        if any(environment.stale != is_stale for environment in self.environments.values()):
            log.warning("configuration_staleness_changed", is_stale=is_stale)
            self.environments = {pk: env.with_staleness(is_stale) for pk, env in self.environments.items()}

    def catch_up_from_copy(self) -> None:
        """Take from Redis, while PostgreSQL is away, what was published when this process was not listening.

        Raises RedisError. This does not confirm the configuration: only the database knows the newest version.
        """
        versions = {pk: environment.version for pk, environment in self.environments.items()}
        missed = cold_start_copy.newer_than(versions)
        for environment_id, steps in missed.steps.items():
            self._follow(environment_id, steps)
        for environment_id, document in missed.documents.items():
            self._take(environment_id, CompiledEnvironment.from_document(document))
        for kill in missed.kills:
            self.apply(kill)

    def _load_cold_start_copy(self) -> None:
        try:
            found = cold_start_copy.load()
            for environment_id, document in found.documents.items():
                self._take(environment_id, CompiledEnvironment.from_document(document))
        except (RedisError, ValueError, KeyError) as error:
            log.warning("runtime_starts_with_nothing", error=repr(error))
            return
        if found.documents:
            self._confirmed_at = time.monotonic() - found.age_seconds
            self.check_staleness()
            log.info(
                "runtime_starts_from_cold_start_copy", environments=len(found.documents), age_seconds=found.age_seconds
            )


RUNTIME = Runtime()
on_reset(RUNTIME.reset)
os.register_at_fork(after_in_child=RUNTIME.after_fork)
