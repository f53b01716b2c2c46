"""The ingest process's loop: take a batch from the broker, store it, and only then be done with it.

At-least-once delivery and unique ids together count each event once. A crash between the two repeats the batch, to
no effect.
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

from analytics import prometheus
from analytics.event_records import Batch, Unreadable, unpack_leniently
from analytics.pipeline import dead_letters
from analytics.pipeline.brokers import broker
from analytics.pipeline.brokers.base import LONGEST_WAIT_SECONDS, BrokerAwayError, Delivery
from analytics.pipeline.event_storage import store_events
from analytics.stores.base import Stored

# A delivery is at most one API batch cut into pieces of 500 events, or one flush of a buffer of 1,000.
_DELIVERIES_AT_ONCE = 32
# A batch closes when it is large enough, or this long after its first event. Shorter is fresher, with more commits.
_BATCH_AGE_SECONDS = 0.1
_FIRST_RETRY_SECONDS = 0.1
_LONGEST_RETRY_SECONDS = 10.0
# A batch is tens of thousands of objects without cycles. Python looks for cycles at every 700th by default, which
# takes a third of the process's time.
_OBJECTS_BETWEEN_COLLECTIONS = 500_000

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Collected:
    """Deliveries that one commit will store."""

    deliveries: list[Delivery] = field(default_factory=list)
    batch: Batch = field(default_factory=lambda: Batch([], []))
    unreadable: list[Unreadable] = field(default_factory=list)

    def add(self, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            self.deliveries.append(delivery)
            found, unreadable = unpack_leniently(delivery.payload)
            self.batch.exposures.extend(found.exposures)
            self.batch.conversions.extend(found.conversions)
            self.unreadable.extend(unreadable)


class Consumer:
    """Takes from the broker under a name of its own; run as many processes as there are cores to spare."""

    def __init__(self, *, claim_after_seconds: float | None = None) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"
        self._claim_after_seconds = claim_after_seconds or settings.INGEST_CLAIM_SECONDS
        self._stopping = threading.Event()
        self._next_claim = 0.0

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
            except BrokerAwayError as error:
                failures += 1
                self._back_off(failures, "the broker", error)
        self._leave()
        log.info("ingest stopped", consumer=self.name)

    def run_once(self) -> int:
        """Take, store and finish one batch; wait for it half a second at most. Return its number of events."""
        collected = self._collect()
        if not collected.deliveries:
            return 0
        if not self._store_patiently(collected):
            return 0
        broker().done(collected.deliveries)
        return len(collected.batch)

    def _collect(self) -> _Collected:
        collected = _Collected()
        collected.add(self._reclaim())
        if not collected.deliveries:
            collected.add(self._take(LONGEST_WAIT_SECONDS))
        deadline = time.monotonic() + _BATCH_AGE_SECONDS
        while collected.deliveries and len(collected.batch) < settings.INGEST_BATCH_EVENTS:
            remaining = deadline - time.monotonic()
            if remaining <= 0 or self._stopping.is_set():
                break
            collected.add(self._take(remaining))
        return collected

    def _take(self, wait_seconds: float) -> list[Delivery]:
        return broker().take(self.name, limit=_DELIVERIES_AT_ONCE, wait_seconds=wait_seconds)

    def _reclaim(self) -> list[Delivery]:
        """Now and then, take over what a dead or hanging consumer has taken and is not done with."""
        if time.monotonic() < self._next_claim:
            return []
        found = broker().reclaim(self.name, limit=_DELIVERIES_AT_ONCE, idle_seconds=self._claim_after_seconds)
        if found:
            log.info("took over batches of another consumer", count=len(found))
        else:
            self._next_claim = time.monotonic() + self._claim_after_seconds / 3
        return found

    def _store_patiently(self, collected: _Collected) -> bool:
        """Try until it is stored. False when told to stop first; somebody reclaims the batch."""
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

    def _back_off(self, failures: int, who: str, error: Exception) -> None:
        longest = min(_LONGEST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2 ** min(failures, 16))
        delay = random.uniform(0, longest)  # noqa: S311 - spreading load, not secrecy
        log.warning("ingest waits", because=f"{who}: {error}".strip(), failures=failures, seconds=round(delay, 2))
        self._stopping.wait(delay)

    def _leave(self) -> None:
        try:
            broker().leave(self.name)
        except BrokerAwayError as error:
            log.info("left without a goodbye", because=str(error))
        connection.close()


def run_lanes(count: int) -> None:
    """Run consumers in threads until SIGTERM or SIGINT. While one waits for PostgreSQL, another decodes.

    An unexpected error in one stops all of them, and is raised.
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
