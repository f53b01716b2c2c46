"""The rate limits of all processes together: what each has let through is counted in Redis, some times a second.

No request waits for it. While Redis is away each process limits by itself. A caller that sends a burst to several
processes at once may get through what they admit between two counts.
"""

import threading
import time
from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings
from django_redis import get_redis_connection
from redis import exceptions
from redis.exceptions import RedisError

from tenancy.callers.limits import BUCKETS
from tenancy.process_memory import on_reset

log = structlog.get_logger(__name__)

INTERVAL_SECONDS = 0.25
# After a failure the process limits by itself for so long.
_PAUSE_SECONDS = 5.0
# At most so many callers in one count, those that spent most.
_MOST_CALLERS = 5_000
_KEEP_SECONDS = 120
# Of credentials, for their page; addresses are too many for that.
_KEEP_CREDENTIAL_SECONDS = 3_700
_MINUTES_SHOWN = 60


class SharedLimits:
    """Runs in a thread of each process that answers requests."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._is_stopping = threading.Event()
        self.reset()

    def reset(self) -> None:
        self._minute = -1
        # By caller: what all processes had let through in this minute when it was last counted.
        self._seen: dict[str, int] = {}
        # By caller: what was let through here in this minute and could not be added.
        self._unsent: dict[str, int] = {}

    def start(self) -> None:
        if self._thread is None:
            self._is_stopping.clear()
            self._thread = threading.Thread(target=self._run, name="shared-limits", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        if self._thread is not None:
            self._is_stopping.set()
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        pause = INTERVAL_SECONDS
        while not self._is_stopping.wait(pause):
            try:
                self.count()
                pause = INTERVAL_SECONDS
            except RedisError as error:
                log.warning("limits_not_shared", error=type(error).__name__)
                pause = _PAUSE_SECONDS

    def count(self) -> None:
        """Add to Redis what was spent here, and take off here what was spent elsewhere. Raises RedisError.

        What Redis refuses is added the next time within the minute. After it the buckets have refilled.
        """
        minute = int(time.time() // 60)
        if minute != self._minute:
            self._minute, self._seen, self._unsent = minute, {}, {}
        spent = BUCKETS.take_spent()
        for caller, tokens in self._unsent.items():
            spent[caller] = spent.get(caller, 0) + tokens
        self._unsent = {}
        if not spent:
            return
        callers = sorted(spent, key=lambda caller: -spent[caller])[:_MOST_CALLERS]
        try:
            totals = _add(minute, [(caller, spent[caller]) for caller in callers])
        except exceptions.TimeoutError:
            # Redis may have added them: to add them again could refuse callers below their limit.
            raise
        except RedisError:
            self._unsent = {caller: spent[caller] for caller in callers}
            raise
        for caller, total in zip(callers, totals, strict=True):
            elsewhere = total - self._seen.get(caller, 0) - spent[caller]
            self._seen[caller] = total
            if elsewhere > 0:
                BUCKETS.debit(caller, elsewhere)


def _add(minute: int, spent: list[tuple[str, int]]) -> list[int]:
    redis: Any = get_redis_connection("default")
    with redis.pipeline(transaction=False) as pipeline:
        for caller, tokens in spent:
            key = _key(minute, caller)
            pipeline.incrby(key, tokens)
            pipeline.expire(key, _KEEP_CREDENTIAL_SECONDS if caller.startswith("fs_") else _KEEP_SECONDS)
        answers = pipeline.execute()
    return [int(total) for total in answers[::2]]


def _key(minute: int, caller: str) -> str:
    return f"{settings.REDIS_PREFIX}:limits:{minute}:{caller}"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a credential's requests were, in all processes: in the fullest minute of the last hour, and in all of it."""

    this_minute: int
    busiest_minute: int
    last_hour: int


def usage_of(prefix: str) -> Usage:
    """Raises RedisError."""
    now = int(time.time() // 60)
    redis: Any = get_redis_connection("default")
    found = redis.mget([_key(now - ago, prefix) for ago in range(_MINUTES_SHOWN)])
    counts = [int(count or 0) for count in found]
    return Usage(counts[0], max(counts), sum(counts))


SHARED_LIMITS = SharedLimits()
on_reset(SHARED_LIMITS.reset)
