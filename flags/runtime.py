"""What this process evaluates from: each environment compiled, immutable and swapped whole, kept current from outside.

Two threads keep it so: one hears changes on Redis pub/sub and applies them as they come, one asks PostgreSQL for the
environments' versions every few seconds and fetches whatever was missed. Evaluation only reads a dict.
"""

import os
import random
import threading
import time
from typing import Any

import orjson
import structlog
from django.conf import settings
from django.db import DatabaseError, close_old_connections
from django_redis import get_redis_connection
from redis.exceptions import RedisError

from flags.documents import CONTRACT_VERSION, environment_header
from flags.models import Change
from flags.propagation import CHANNEL
from openflagship.engine import Environment
from tenancy.keyring import KEYRING, current_revision
from tenancy.models import Environment as EnvironmentRow

log = structlog.get_logger(__name__)

_SECONDS_BETWEEN_REDIS_TRIES = (0.1, 5.0)


class Runtime:
    """The compiled environments of one process. Public state: `environments`, read without a lock."""

    def __init__(self) -> None:
        self.environments: dict[int, Environment] = {}
        self.confirmed_at = 0.0
        self._pid = 0
        self._applying = threading.RLock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    # -- Life ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Load everything and begin to listen; safe to call again, and again after a fork."""
        if self._pid == os.getpid():
            return
        self._pid = os.getpid()
        self._applying = threading.RLock()
        self._stop = threading.Event()
        try:
            self.refresh()
        except DatabaseError as error:
            log.warning("runtime_starts_without_database", error=type(error).__name__)
        finally:
            close_old_connections()
        self._threads = [
            threading.Thread(target=self._listen, name="flags-listen", daemon=True),
            threading.Thread(target=self._poll, name="flags-poll", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_seconds: float = 5) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout_seconds)
        self._threads = []
        self._pid = 0

    @property
    def is_ready(self) -> bool:
        """Whether the configuration was ever had."""
        return self.confirmed_at > 0

    @property
    def age_seconds(self) -> float:
        """Seconds since the configuration was last known to be current; infinite before the first time."""
        return time.monotonic() - self.confirmed_at if self.confirmed_at else float("inf")

    # -- Applying ----------------------------------------------------------------------------------------------------

    def apply(self, message: dict[str, Any]) -> None:
        """Apply one change heard on the channel; one that does not follow on what is here makes us fetch what was missed."""
        if message["kind"] == "keyring":
            KEYRING.refresh()
            return
        environment_id, version = message["environment"], message["version"]
        with self._applying:
            current = self.environments.get(environment_id)
            if current is not None and version <= current.version:
                return
            if current is None or version != current.version + 1:
                self._catch_up(environment_id)
                return
            self._swap(environment_id, _replace(current, [(version, message)]))

    def refresh(self) -> None:
        """Ask for every environment's version and the keyring's, and fetch what differs. Raises DatabaseError."""
        with self._applying:
            KEYRING.refresh(revision=current_revision())
            versions = dict(EnvironmentRow.objects.values_list("pk", "config_version"))
            for environment_id in self.environments.keys() - versions.keys():
                self.environments = {pk: env for pk, env in self.environments.items() if pk != environment_id}
            for environment_id, version in versions.items():
                current = self.environments.get(environment_id)
                if current is None or current.version < version:
                    self._catch_up(environment_id)
            self.confirmed_at = time.monotonic()
            self._mark_stale(stale=False)

    def _catch_up(self, environment_id: int) -> None:
        """Fetch the changes since the version that is here, or everything where nothing is."""
        current = self.environments.get(environment_id)
        if current is None:
            loaded = load_environment(environment_id)
            if loaded is not None:
                self._swap(environment_id, loaded)
            return
        changes = Change.objects.filter(environment_id=environment_id, version__gt=current.version).order_by("version")
        steps = [
            (change.version, {"entity": change.entity, "key": change.key, "document": change.document})
            for change in changes
        ]
        if steps:
            self._swap(environment_id, _replace(current, steps))

    def _swap(self, environment_id: int, environment: Environment) -> None:
        self.environments = {**self.environments, environment_id: environment}

    def _mark_stale(self, *, stale: bool) -> None:
        if any(environment.stale != stale for environment in self.environments.values()):
            self.environments = {pk: env.with_staleness(stale) for pk, env in self.environments.items()}

    # -- Threads -----------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        wait_low, wait_high = _SECONDS_BETWEEN_REDIS_TRIES
        wait = wait_low
        while not self._stop.is_set():
            try:
                with get_redis_connection("default").pubsub(ignore_subscribe_messages=True) as subscription:
                    subscription.subscribe(CHANNEL)
                    # What was published before we subscribed is in the log: look once, then only listen.
                    self._refresh_logged()
                    while not self._stop.is_set():
                        message = subscription.get_message(timeout=1.0)
                        wait = wait_low
                        if message is not None and message["type"] == "message":
                            self._apply_logged(message["data"])
            except RedisError as error:
                log.warning("listener_lost_redis", error=type(error).__name__)
                self._stop.wait(random.uniform(0, wait))  # noqa: S311 - jitter, not a secret
                wait = min(wait * 2, wait_high)

    def _poll(self) -> None:
        while not self._stop.wait(settings.POLL_SECONDS * random.uniform(0.8, 1.2)):  # noqa: S311 - jitter, not a secret
            self._refresh_logged()
            if self.age_seconds > settings.STALE_AFTER_SECONDS:
                with self._applying:
                    self._mark_stale(stale=True)

    def _refresh_logged(self) -> None:
        try:
            self.refresh()
        except DatabaseError as error:
            log.warning("poll_lost_database", error=type(error).__name__)
        finally:
            close_old_connections()

    def _apply_logged(self, data: bytes) -> None:
        try:
            self.apply(orjson.loads(data))
        except DatabaseError as error:
            log.warning("apply_lost_database", error=type(error).__name__)
        except (ValueError, KeyError, TypeError) as error:
            # Somebody else's message on our channel must not end the thread that hears kill switches.
            log.warning("message_not_understood", error=repr(error))
        finally:
            close_old_connections()


def _replace(current: Environment, steps: list[tuple[int, dict[str, Any]]]) -> Environment:
    """Recompile what the steps touch, once each, and share the rest."""
    flags = {step["key"]: step["document"] for _, step in steps if step["entity"] == Change.Entity.FLAG}
    segments = {step["key"]: step["document"] for _, step in steps if step["entity"] == Change.Entity.SEGMENT}
    return current.replace(steps[-1][0], flags=flags, segments=segments)


def load_document(environment_id: int, *, version: int | None = None) -> dict[str, Any] | None:
    """Fold the version log into a snapshot document, as of `version` (the current one by default)."""
    row = EnvironmentRow.objects.select_related("project__organization").filter(pk=environment_id).first()
    if row is None:
        return None
    upto = row.config_version if version is None else version
    latest = (
        Change.objects.filter(environment_id=environment_id, version__lte=upto)
        .order_by("entity", "key", "-version")
        .distinct("entity", "key")
        .values_list("entity", "key", "document")
    )
    document: dict[str, Any] = {
        "contract": CONTRACT_VERSION,
        "environment": environment_header(row),
        "version": upto,
        "flags": {},
        "segments": {},
    }
    for entity, key, content in latest:
        if content is not None:
            document["flags" if entity == Change.Entity.FLAG else "segments"][key] = content
    return document


def load_environment(environment_id: int) -> Environment | None:
    document = load_document(environment_id)
    return Environment.from_document(document) if document else None


RUNTIME = Runtime()
os.register_at_fork(after_in_child=lambda: RUNTIME.start() if RUNTIME.is_ready and not RUNTIME._stop.is_set() else None)  # noqa: SLF001 - this module's own object
