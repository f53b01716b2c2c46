"""The Redis Stream between whoever takes events in and the ingest: appended to while there is room, never trimmed."""

import time
from collections.abc import Sequence
from functools import cache

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tenancy.process_memory import on_reset

GROUP = "ingest"
FIELD = b"b"
# After a failure, callers with another way to go take it at once for so long, instead of each waiting for a timeout.
_AVOID_SECONDS = 2.0

# Checked and appended in one step, so that no two writers overfill it together.
_APPEND = """
if redis.call('XLEN', KEYS[1]) + #ARGV - 1 > tonumber(ARGV[1]) then return 0 end
for i = 2, #ARGV do redis.call('XADD', KEYS[1], '*', 'b', ARGV[i]) end
return #ARGV - 1
"""


class StreamFullError(Exception):
    """The ingest is so far behind that the stream holds EVENT_STREAM_MAX_BATCHES; nothing was appended."""


class StreamAwayError(Exception):
    """Redis cannot be reached; whether the entries were appended is unknown, and appending them again does no harm."""


def key() -> str:
    return f"{settings.REDIS_PREFIX}:events"


def connect(*, timeout_seconds: float | None = None) -> Redis:
    """A client with a pool of its own; one immediate retry replaces connections that a restart of Redis has closed."""
    return Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=timeout_seconds or settings.REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=settings.REDIS_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 1),
    )


@cache
def client() -> Redis:
    """This process's client; redis-py's pool notices a fork by itself."""
    return connect()


class Publisher:
    """Appends packed batches, remembering for a moment that Redis was away."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._away_until = 0.0

    def append(self, packed: Sequence[bytes], *, patient: bool = False) -> None:
        """Append all, or raise StreamFullError or StreamAwayError; `patient` asks Redis even right after a failure."""
        if not patient and time.monotonic() < self._away_until:
            raise StreamAwayError("Redis was away a moment ago.")
        try:
            appended = client().eval(_APPEND, 1, key(), settings.EVENT_STREAM_MAX_BATCHES, *packed)
        except (RedisError, OSError) as error:
            self._away_until = time.monotonic() + _AVOID_SECONDS
            raise StreamAwayError(str(error)) from error
        self._away_until = 0.0
        if not appended:
            raise StreamFullError(f"The event stream holds {settings.EVENT_STREAM_MAX_BATCHES} batches.")


PUBLISHER = Publisher()
on_reset(PUBLISHER.reset)


def length() -> int:
    """Entries not yet stored: what is acknowledged is deleted. Raises RedisError."""
    return int(client().xlen(key()))


def lag_seconds() -> float:
    """Age of the oldest entry not yet stored, 0 when there is none. Raises RedisError."""
    oldest = client().xrange(key(), count=1)
    if not oldest:
        return 0.0
    entry_id: bytes = oldest[0][0]  # type: ignore[assignment]  # bytes, since this client decodes nothing
    entered_ms = int(entry_id.split(b"-")[0])
    return max(0.0, time.time() - entered_ms / 1000)
