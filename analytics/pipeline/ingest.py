"""The ingest process's loop: read a batch from the stream, store it, and only then acknowledge it.

At-least-once delivery and unique ids together count each event once. A crash between storing and acknowledging repeats
the batch, to no effect.
"""

import gc
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from analytics import prometheus
from analytics.event_records import Batch, Unreadable, unpack_leniently
from analytics.pipeline import dead_letters
from analytics.pipeline.brokers import redis as stream
from analytics.services import store_events
from analytics.stores.base import Stored

# An entry is at most one API batch cut into pieces of 500 events, or one flush of a buffer of 1,000.
_ENTRIES_PER_READ = 32
_BLOCK_MS = 500
# A batch closes when it is large enough, or this long after its first event: freshness against fewer commits.
_BATCH_AGE_SECONDS = 0.1
_FIRST_RETRY_SECONDS = 0.1
_LONGEST_RETRY_SECONDS = 10.0
# A batch is tens of thousands of objects that go without a cycle: looking for cycles at every 700th of them, as Python
# does by default, takes a third of the process's time.
_OBJECTS_BETWEEN_COLLECTIONS = 500_000

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Collected:
    """Entries on their way to one commit."""

    entry_ids: list[bytes] = field(default_factory=list)
    batch: Batch = field(default_factory=lambda: Batch([], []))
    unreadable: list[Unreadable] = field(default_factory=list)

    def add(self, entries: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> None:
        for entry_id, fields in entries:
            if entry_id is None:
                continue  # deleted while it was pending; Redis 6 names it as nil
            self.entry_ids.append(entry_id)
            if not fields:
                continue  # likewise, in Redis 7
            found, unreadable = unpack_leniently(fields.get(stream.FIELD, b""))
            self.batch.exposures.extend(found.exposures)
            self.batch.conversions.extend(found.conversions)
            self.unreadable.extend(unreadable)


class Consumer:
    """One member of the consumer group; run as many processes as there are cores to spare."""

    def __init__(self, *, claim_after_seconds: float | None = None) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"
        self._claim_after_ms = int(1000 * (claim_after_seconds or settings.INGEST_CLAIM_SECONDS))
        self._stopping = threading.Event()
        self._redis: Redis = stream.connect(timeout_seconds=settings.REDIS_TIMEOUT_SECONDS + _BLOCK_MS / 1000)
        self._next_claim = 0.0
        self._has_group = False

    def stop(self) -> None:
        """Finish the batch at hand, then return from `run`; safe in a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        log.info("ingest started", consumer=self.name)
        failures = 0
        while not self._stopping.is_set():
            try:
                self.run_once()
                failures = 0
            except (RedisError, OSError) as error:
                # After a restart of Redis the group may be gone with its data.
                self._has_group = False
                failures += 1
                self._back_off(failures, "Redis", error)
        self._leave()
        log.info("ingest stopped", consumer=self.name)

    def run_once(self) -> int:
        """Take one batch all the way, waiting for it half a second at most; return its number of events."""
        collected = self._collect()
        if not collected.entry_ids:
            return 0
        if not self._store_patiently(collected):
            return 0
        self._acknowledge(collected.entry_ids)
        return len(collected.batch)

    def _collect(self) -> _Collected:
        self._ensure_group()
        collected = _Collected()
        collected.add(self._claim())
        if not collected.entry_ids:
            collected.add(self._read(_BLOCK_MS))
        deadline = time.monotonic() + _BATCH_AGE_SECONDS
        while collected.entry_ids and len(collected.batch) < settings.INGEST_BATCH_EVENTS:
            remaining_ms = int((deadline - time.monotonic()) * 1000)
            if remaining_ms <= 0 or self._stopping.is_set():
                break
            collected.add(self._read(remaining_ms))
        return collected

    def _read(self, block_ms: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
        found = self._redis.xreadgroup(
            stream.GROUP, self.name, {stream.key(): ">"}, count=_ENTRIES_PER_READ, block=max(1, block_ms)
        )
        return _entries_of(found)

    def _claim(self) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """Now and then, take over what a consumer that died (or hangs) has read and not acknowledged."""
        if time.monotonic() < self._next_claim:
            return []
        answer = self._redis.xautoclaim(
            stream.key(), stream.GROUP, self.name, min_idle_time=self._claim_after_ms, count=_ENTRIES_PER_READ
        )
        entries = list(answer[1])
        if entries:
            log.info("took over entries of another consumer", count=len(entries))
        else:
            self._next_claim = time.monotonic() + self._claim_after_ms / 1000 / 3
        return entries

    def _ensure_group(self) -> None:
        if self._has_group:
            return
        try:
            # From the beginning: what was appended before the first ingest process ever ran counts as well.
            self._redis.xgroup_create(stream.key(), stream.GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        self._has_group = True

    def _store_patiently(self, collected: _Collected) -> bool:
        """Store until it works; False when told to stop first (the entries stay pending, somebody claims them)."""
        failures = 0
        while True:
            try:
                with prometheus.INGEST_BATCH_SECONDS.time():
                    stored = store_events(collected.batch)
                    dead_letters.put_aside(collected.unreadable)
            except DatabaseError as error:
                connection.close()
                failures += 1
                if self._stopping.is_set():
                    return False
                self._back_off(failures, "PostgreSQL", error)
                if self._stopping.is_set():
                    return False
            else:
                _count(collected.batch, stored)
                return True

    def _acknowledge(self, entry_ids: list[bytes]) -> None:
        """Deleting with the acknowledgement keeps the stream as long as what is not stored, and trims nothing else."""
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.xack(stream.key(), stream.GROUP, *entry_ids)
            pipeline.xdel(stream.key(), *entry_ids)
            pipeline.execute()

    def _back_off(self, failures: int, who: str, error: Exception) -> None:
        longest = min(_LONGEST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2 ** min(failures, 16))
        delay = random.uniform(0, longest)  # noqa: S311 - spreading load, not secrecy
        log.warning("ingest waits", because=f"{who}: {error}".strip(), failures=failures, seconds=round(delay, 2))
        self._stopping.wait(delay)

    def _leave(self) -> None:
        """Take the name out of the group unless something is pending under it: removing it then would forget that."""
        try:
            pending = self._redis.xpending_range(stream.key(), stream.GROUP, "-", "+", 1, consumername=self.name)
            if not pending:
                self._redis.xgroup_delconsumer(stream.key(), stream.GROUP, self.name)
        except (RedisError, OSError) as error:
            log.info("left without a goodbye", because=str(error))
        self._redis.close()
        connection.close()


def _entries_of(answer: object) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """XREADGROUP answers with a list of (stream, entries), or as a mapping under RESP3; we read one stream."""
    if not answer:
        return []
    if isinstance(answer, dict):
        (entries,) = answer.values()
        # RESP3 nests the entries once more.
        return list(entries[0]) if entries and isinstance(entries[0], list) else list(entries)
    return list(answer[0][1])  # type: ignore[index]  # redis-py types this answer as Any of both protocols


def run_lanes(count: int) -> None:
    """Run consumers side by side until SIGTERM or SIGINT: while one waits for PostgreSQL, another decodes.

    An error that a lane does not expect stops all of them, and is raised.
    """
    consumers = [Consumer() for _ in range(count)]
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, 10, 10)

    def stop(*_: object) -> None:
        for consumer in consumers:
            consumer.stop()

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, stop)
    with ThreadPoolExecutor(max_workers=count, thread_name_prefix="lane") as pool:
        lanes = [pool.submit(consumer.run) for consumer in consumers]
        wait(lanes, return_when=FIRST_COMPLETED)
        stop()
    for lane in lanes:
        lane.result()


def _count(batch: Batch, stored: Stored) -> None:
    for kind, read, new in (
        ("exposure", len(batch.exposures), stored.exposures),
        ("conversion", len(batch.conversions), stored.conversions),
    ):
        if read:
            prometheus.EVENTS_INGESTED.labels(kind).inc(read)
        if read > new:
            prometheus.EVENTS_DUPLICATE.labels(kind).inc(read - new)
