"""The thread that receives steps on Redis pub/sub and applies them at once. It never asks PostgreSQL."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

import orjson
import structlog
from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from flags.propagation.publishing import CHANNEL, KEYRING_CHANGED
from flags.versions.steps import Step

log = structlog.get_logger(__name__)

_TICK_SECONDS = 1.0
_SILENCE_SECONDS = 5.0
# After both servers were away a kill is obeyed within seconds, so no wait is long.
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.1, 2.0


# A kill among so many steps waits for less than ten milliseconds.
_MOST_TOGETHER = 100


class StepReceiver(Protocol):
    """What the listener hands steps to: the process's runtime."""

    is_redis_there: bool
    redis_answered_at: float | None

    def apply_each(self, steps: Sequence[Step]) -> bool: ...

    def ask_now(self) -> None: ...

    def check_staleness(self) -> None: ...


class Listener:
    """Holds the process's one subscription."""

    def __init__(self, runtime: StepReceiver) -> None:
        self._runtime = runtime
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="flags-listen", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def join(self, timeout_seconds: float) -> None:
        if self._thread is not None:
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        wait = _FIRST_WAIT_SECONDS
        while not self._stop.is_set():
            try:
                with self._redis() as redis, redis.pubsub() as subscription:
                    subscription.subscribe(CHANNEL)
                    wait = self._hear(subscription)
            except RedisError as error:
                if self._runtime.is_redis_there:
                    log.warning("listener_lost_redis", error=type(error).__name__)
                self._runtime.is_redis_there = False
                # Steps that are published meanwhile are in the version log.
                self._runtime.check_staleness()
                # The wait is random, so that the processes of a fleet do not all reconnect in the same instant.
                self._stop.wait(random.uniform(0, wait))  # noqa: S311 - jitter, not a secret
                wait = min(wait * 2, _LONGEST_WAIT_SECONDS)

    def _hear(self, subscription: Any) -> float:
        """Listen until `stop` is called. Return how long to wait before the next try. Raises RedisError."""
        heard_at = time.monotonic()
        while not self._stop.is_set():
            message = subscription.get_message(timeout=_TICK_SECONDS)
            self._runtime.check_staleness()
            if message is None:
                # Without this check a lost connection that was never closed would go unnoticed.
                if time.monotonic() - heard_at > _SILENCE_SECONDS:
                    raise RedisTimeoutError("Redis has not answered a PING on the subscription.")
                subscription.ping()
                continue
            heard_at = self._runtime.redis_answered_at = time.monotonic()
            if message["type"] == "subscribe":
                self._runtime.is_redis_there = True
                self._runtime.ask_now()
            elif message["type"] == "message":
                self._apply(_with_those_behind(message["data"], subscription))
        return _FIRST_WAIT_SECONDS

    def _apply(self, messages: Sequence[bytes]) -> None:
        """Steps that have arrived together are applied together: a batch of a plan's is a step for each flag."""
        steps, is_incomplete = [], False
        for data in messages:
            try:
                message = orjson.loads(data)
                if message["kind"] == KEYRING_CHANGED:
                    is_incomplete = True
                else:
                    steps.append(Step.of_message(message))
            except Exception:
                # A foreign message on the channel must not end the thread that receives kill switches.
                log.exception("message_not_understood")
        if not self._applied(steps) or is_incomplete:
            self._runtime.ask_now()

    def _applied(self, steps: Sequence[Step]) -> bool:
        """Where they cannot be applied together, one of them is the reason, and it keeps no kill behind it."""
        try:
            return self._runtime.apply_each(steps)
        except Exception:
            log.exception("steps_not_applied")
        outcomes = [self._applied([step]) for step in steps] if len(steps) > 1 else [False]
        return all(outcomes)

    def _redis(self) -> Redis:
        timeout = settings.REDIS_TIMEOUT_SECONDS
        return Redis.from_url(
            settings.REDIS_URL, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0)
        )


def _with_those_behind(first: bytes, subscription: Any) -> list[bytes]:
    """The message, and those that are there behind it."""
    found = [first]
    # What was read is applied, also where the connection ends behind it: whoever listens next is told of that end.
    with suppress(RedisError):
        # Asking the connection first: a message of which half is there is waited for, as any other.
        while len(found) < _MOST_TOGETHER and subscription.connection.can_read(timeout=0):
            message = subscription.get_message(timeout=_TICK_SECONDS)
            if message is not None and message["type"] == "message":
                found.append(message["data"])
    return found
