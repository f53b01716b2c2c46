"""The broker on a Redis Stream with one consumer group. The stream is never trimmed: a batch goes once it is done."""

import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from analytics.pipeline.brokers.base import LONGEST_WAIT_SECONDS, BrokerAwayError, BrokerFullError, Delivery

Answer = TypeVar("Answer")
Fields = dict[bytes, bytes]

_GROUP: Final = "ingest"
_FORGOTTEN_AFTER_MS: Final = 3_600_000
_FIELD: Final = b"b"
# Callers with another way to go wait for Redis no longer than that. After a failure they take that way at once: for
# so long, and twice as long after each further failure. Whoever reaches Redis meanwhile ends that.
_IMPATIENT_SECONDS: Final = 0.25
_AVOID_SECONDS: Final = 2.0
_LONGEST_AVOID_SECONDS: Final = 30.0

# Checked and appended in one step, so that no two writers overfill it together.
_APPEND: Final = """
if redis.call('XLEN', KEYS[1]) + #ARGV - 2 > tonumber(ARGV[1]) then return 0 end
local bytes = redis.call('EXISTS', KEYS[1]) == 1 and redis.call('MEMORY', 'USAGE', KEYS[1]) or 0
for i = 3, #ARGV do bytes = bytes + #ARGV[i] end
if bytes > tonumber(ARGV[2]) then return -1 end
for i = 3, #ARGV do redis.call('XADD', KEYS[1], '*', 'b', ARGV[i]) end
return #ARGV - 2
"""


class RedisBroker:
    """Two connection pools: one for what is quick, one for takes, which wait for a batch. Both notice a fork."""

    def __init__(self) -> None:
        self._key = f"{settings.REDIS_PREFIX}:events"
        self._redis = _connect(settings.REDIS_TIMEOUT_SECONDS)
        self._impatient_redis = _connect(min(_IMPATIENT_SECONDS, settings.REDIS_TIMEOUT_SECONDS))
        self._waiting_redis = _connect(settings.REDIS_TIMEOUT_SECONDS + LONGEST_WAIT_SECONDS)
        self._has_group = False
        self._away_until, self._avoid_seconds = 0.0, _AVOID_SECONDS

    def append(self, payloads: Sequence[bytes], *, patient: bool = False) -> None:
        if not patient and time.monotonic() < self._away_until:
            raise BrokerAwayError("Redis was away a moment ago.")
        redis = self._redis if patient else self._impatient_redis
        try:
            bounds = settings.EVENT_STREAM_MAX_BATCHES, settings.EVENT_STREAM_MAX_BYTES
            appended = redis.eval(_APPEND, 1, self._key, *bounds, *payloads)
        except (RedisError, OSError) as error:
            self._away_until = time.monotonic() + self._avoid_seconds
            self._avoid_seconds = min(2 * self._avoid_seconds, _LONGEST_AVOID_SECONDS)
            raise BrokerAwayError(str(error)) from error
        self._is_there()
        if appended == -1:
            raise BrokerFullError(f"The event stream takes {settings.EVENT_STREAM_MAX_BYTES:,} bytes.")
        if not appended:
            raise BrokerFullError(f"The event stream holds {settings.EVENT_STREAM_MAX_BATCHES} batches.")

    def _is_there(self) -> None:
        self._away_until, self._avoid_seconds = 0.0, _AVOID_SECONDS

    def take(self, consumer: str, *, limit: int, wait_seconds: float) -> list[Delivery]:
        found = self._with_group(
            lambda: self._waiting_redis.xreadgroup(
                _GROUP, consumer, {self._key: ">"}, count=limit, block=max(1, int(1000 * wait_seconds))
            )
        )
        return self._deliveries(_entries_of(found))

    def reclaim(self, consumer: str, *, limit: int, idle_seconds: float) -> list[Delivery]:
        answer = self._with_group(
            lambda: self._redis.xautoclaim(
                self._key, _GROUP, consumer, min_idle_time=int(1000 * idle_seconds), count=limit
            )
        )
        return self._deliveries(answer[1])

    def done(self, deliveries: Sequence[Delivery]) -> None:
        if deliveries:
            receipts = [delivery.receipt for delivery in deliveries]
            _ask(lambda: self._remove(receipts))

    def length(self) -> int:
        length = int(_ask(lambda: self._redis.xlen(self._key)))
        self._is_there()
        return length

    def lag_seconds(self) -> float:
        oldest = _ask(lambda: self._redis.xrange(self._key, count=1))
        if not oldest:
            return 0.0
        entry_id: bytes = oldest[0][0]  # type: ignore[assignment]  # bytes, since this client decodes nothing
        entered_ms = int(entry_id.split(b"-")[0])
        return max(0.0, time.time() - entered_ms / 1000)

    def leave(self, consumer: str) -> None:
        _ask(lambda: self._forget(consumer))

    def _forget(self, consumer: str) -> None:
        # Whoever ended without a word and left nothing behind goes as well.
        for known in self._redis.xinfo_consumers(self._key, _GROUP):
            if known["pending"] == 0 and known["idle"] > _FORGOTTEN_AFTER_MS:
                self._redis.xgroup_delconsumer(self._key, _GROUP, known["name"])
        # Deleting a consumer would forget what is pending under its name.
        if not self._redis.xpending_range(self._key, _GROUP, "-", "+", 1, consumername=consumer):
            self._redis.xgroup_delconsumer(self._key, _GROUP, consumer)

    def _remove(self, receipts: Sequence[bytes]) -> None:
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.xack(self._key, _GROUP, *receipts)
            pipeline.xdel(self._key, *receipts)
            pipeline.execute()

    def _with_group(self, command: Callable[[], Answer]) -> Answer:
        """Run a command that needs the group, and make the group where Redis lost it with its data."""
        if not self._has_group:
            _ask(self._make_group)
        try:
            return _ask(command)
        except BrokerAwayError as error:
            if "NOGROUP" not in str(error):
                raise
            _ask(self._make_group)
            return _ask(command)

    def _make_group(self) -> None:
        try:
            # From the beginning: what was appended before the first consumer ever ran counts as well.
            self._redis.xgroup_create(self._key, _GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        self._has_group = True

    def _deliveries(self, entries: Sequence[tuple[bytes, Fields]]) -> list[Delivery]:
        """Return what is still there; what was deleted while it was pending comes as nil, or without fields."""
        self.done([Delivery(entry_id, b"") for entry_id, fields in entries if entry_id is not None and not fields])
        return [Delivery(entry_id, fields.get(_FIELD, b"")) for entry_id, fields in entries if fields]


def _connect(timeout_seconds: float) -> Redis:
    """A client with a pool of its own; one immediate retry replaces connections that a restart of Redis has closed."""
    return Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=settings.REDIS_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 1),
    )


def _ask(command: Callable[[], Answer]) -> Answer:
    try:
        return command()
    except (RedisError, OSError) as error:
        raise BrokerAwayError(str(error)) from error


def _entries_of(answer: object) -> list[tuple[bytes, Fields]]:
    """XREADGROUP answers with a list of (stream, entries), or as a mapping under RESP3; we read one stream."""
    if not answer:
        return []
    if isinstance(answer, dict):
        (entries,) = answer.values()
        # RESP3 nests the entries once more.
        return list(entries[0]) if entries and isinstance(entries[0], list) else list(entries)
    return list(answer[0][1])  # type: ignore[index]  # redis-py types this answer as Any of both protocols
