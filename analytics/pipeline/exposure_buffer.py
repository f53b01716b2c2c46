"""The exposures of an evaluating process: a bounded queue, which a thread empties into the broker.

Adding costs the evaluation one append to a deque. Only the thread uses the broker, PostgreSQL and locks.
"""

import atexit
import os
import random
import threading
import time
from collections import deque
from collections.abc import Mapping
from multiprocessing import util as multiprocessing_util
from typing import Any, Final
from uuid import UUID

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection

from analytics import prometheus
from analytics.enrichment.attributes import WANTED
from analytics.event_records import pack, unpack
from analytics.pipeline.brokers import broker
from analytics.pipeline.brokers.base import BrokerAwayError, BrokerFullError
from analytics.pipeline.event_storage import store_events
from tenancy.process_memory import on_reset

_BATCH_EVENTS = 1000
# A context may be 32 KiB of JSON, and several times that as objects. So many take a megabyte or two, at worst 40.
_MOST_WAITING_CONTEXTS = 64
# The more exposures wait, the shorter a text may be: each at most this by their number, so that the sum grows with its
# logarithm alone: of a hundred thousand to some 60 MiB, whatever callers send.
_WAITING_TEXT_BUDGET = 8 * 1024 * 1024
_FIRST_RETRY_SECONDS = 0.05
_LONGEST_RETRY_SECONDS = 5.0
# Shorter than a process manager usually waits between SIGTERM and SIGKILL.
_SHUTDOWN_SECONDS = 3.0

log = structlog.get_logger(__name__)

# The context's attributes, until the thread has made JSON of those that will be stored.
_Attributes = Mapping[str, Any] | str | None
_Row = tuple[
    UUID | str, int, str, str, str, str, str | None, str | None, int, int, int, str, str | None, _Attributes, bool
]
# Places in a row.
_ATTRIBUTES: Final = 13
_IS_PREFETCHED: Final = 14


class ExposureBuffer:
    """One per process. Its thread starts with the first exposure, and again after a fork."""

    def __init__(self, *, capacity: int | None = None, flush_seconds: float | None = None) -> None:
        self._wanted_capacity, self._wanted_flush_seconds = capacity, flush_seconds
        self._capacity = 0
        self._flush_seconds = 0.0
        self.reset()
        # The parent sends what was queued at a fork. Its locks may be held by threads that do not exist here.
        os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        """Begin with an empty queue, and without a thread."""
        self._queue: deque[_Row] = deque()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._deadline = float("inf")
        self._in_flight = 0
        self._last_context: tuple[_Attributes, int, str | None, _Attributes] = (None, 0, None, None)
        self.dropped = 0

    @property
    def depth(self) -> int:
        """Exposures that are not in the broker yet."""
        return len(self._queue) + self._in_flight

    def add(  # noqa: PLR0917 - the hot path: keywords would cost a third more
        self,
        environment_id: int,
        evaluation_id: UUID | str,
        flag_key: str,
        unit_id: str,
        variant: str,
        reason: str,
        rule_id: str | None,
        experiment: str | None,
        config_version: int,
        occurred_ms: int,
        source: str,
        user_agent: str | None,
        attributes: Mapping[str, Any] | None = None,
        is_prefetched: bool = False,
    ) -> None:
        """Queue one exposure. Never blocks and never raises; a full buffer drops it and counts it.

        `attributes` are the context's; `analytics.enrichment.attributes` chooses those to store. The thread picks them
        out, or this call once more than a handful of contexts wait.
        """
        if self._thread is None:
            self._start()
        queue = self._queue
        waiting = len(queue)
        if waiting >= self._capacity:
            self._drop(1)
            return
        chosen = self._chosen(environment_id, experiment, attributes, waiting) if attributes else None
        # In the order of ExposureEvent. It was received at the moment it happened.
        queue.append((
            evaluation_id, environment_id, flag_key, unit_id, variant, reason, rule_id, experiment, config_version,
            occurred_ms, occurred_ms, source, user_agent, chosen, is_prefetched,
        ))  # fmt: skip
        if waiting >= _BATCH_EVENTS and not self._wake.is_set():
            self._wake.set()

    def _chosen(
        self, environment_id: int, experiment: str | None, attributes: Mapping[str, Any], waiting: int
    ) -> _Attributes:
        """Return what waits with an exposure: its whole context, the JSON of the chosen attributes, or nothing."""
        context, environment, of, chosen = self._last_context
        # All flags of one request come in a row, with the same attributes object.
        if context is attributes and (chosen is attributes or (environment == environment_id and of == experiment)):
            return chosen
        if waiting < _MOST_WAITING_CONTEXTS:
            chosen = attributes
        elif WANTED.was_read:
            chosen = WANTED.text_of(environment_id, experiment, attributes)
            if chosen is not None and len(chosen) * waiting > _WAITING_TEXT_BUDGET:
                chosen = None
        else:
            chosen = None  # the names were not read yet; the thread reads them with its next batch
            self._wake.set()
        self._last_context = (attributes, environment_id, experiment, chosen)
        return chosen

    def _drop(self, count: int) -> None:
        with self._lock:
            self.dropped += count
        prometheus.EXPOSURES_DROPPED.inc(count)

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None or self._closing.is_set():
                return
            self._capacity = self._wanted_capacity or settings.EXPOSURE_BUFFER_SIZE
            self._flush_seconds = self._wanted_flush_seconds or settings.EXPOSURE_FLUSH_SECONDS
            self._thread = threading.Thread(target=self._run, name="exposures", daemon=True)
            self._thread.start()
        # A worker that multiprocessing forked ends without atexit, a spawned one with it. Closing twice does no harm.
        atexit.register(self.close)
        multiprocessing_util.Finalize(None, self.close, exitpriority=10)

    def close(self, timeout: float = _SHUTDOWN_SECONDS) -> None:
        """Send what is left, to the store if the broker is away. Give up after `timeout` seconds. Final."""
        thread = self._thread
        self._deadline = time.monotonic() + timeout
        self._closing.set()
        self._wake.set()
        if thread is not None and thread.is_alive():
            thread.join(timeout + 1)

    def flush(self, timeout: float = _SHUTDOWN_SECONDS) -> bool:
        """Wait until everything added so far is in the broker. False when `timeout` came first."""
        deadline = time.monotonic() + timeout
        while self.depth and time.monotonic() < deadline:
            self._wake.set()
            self._closing.wait(0.01)
        return not self.depth

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self._wake.wait(self._flush_seconds)
                self._wake.clear()
                self._send(len(self._queue))
                prometheus.EXPOSURE_BUFFER_DEPTH.set(self.depth)
            while self._queue:
                self._send(len(self._queue))
        finally:
            connection.close()
            prometheus.EXPOSURE_BUFFER_DEPTH.set(0)

    def _send(self, count: int) -> None:
        """Send the oldest `count`. Newer exposures wait for the next turn, or at full load it would never end."""
        queue = self._queue
        while count > 0 and queue:
            # Set before they leave the queue, so that `depth` never misses them.
            self._in_flight = min(count, len(queue), _BATCH_EVENTS)
            count -= self._in_flight
            batch = [queue.popleft() for _ in range(self._in_flight)]
            packed, left_out = _pack_what_can_be(_with_chosen_attributes(batch))
            batch.clear()  # frees the contexts before the broker answers
            if left_out:
                self._drop(left_out)
                log.error("exposures lost: they could not be packed", count=left_out)
            if not self._append(packed):
                lost = self.depth - left_out
                self._drop(lost)
                queue.clear()
                log.error("exposures lost at shutdown: neither Redis nor PostgreSQL took them", count=lost)
            self._in_flight = 0

    def _append(self, packed: bytes) -> bool:
        """Try until it is in the broker. While closing, the store will do; False when the deadline comes first."""
        attempt = 0
        while True:
            try:
                broker().append([packed], patient=True)
            except (BrokerAwayError, BrokerFullError) as error:
                if attempt == 0:
                    log.warning("exposures wait in memory", because=str(error), depth=self.depth)
            else:
                return True
            if self._closing.is_set():
                if _write_directly(packed):
                    return True
                if time.monotonic() > self._deadline:
                    return False
            elif self._last_context[0] is not None:
                WANTED.refresh()  # for the exposures that are queued meanwhile
            longest = min(_LONGEST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2**attempt)
            attempt = min(attempt + 1, 16)
            # Full jitter, so that the processes do not retry at the same moment.
            self._closing.wait(random.uniform(0, longest))  # noqa: S311 - spreading load, not secrecy


def _with_chosen_attributes(rows: list[_Row]) -> list[_Row]:
    if any(row[_ATTRIBUTES] is not None for row in rows):
        WANTED.refresh()
    finished: list[_Row] = []
    of: tuple[int, str | None, _Attributes] = (0, None, None)
    text: str | None = None
    for row in rows:
        attributes = row[_ATTRIBUTES]
        if attributes is None or isinstance(attributes, str):
            finished.append(row)
            continue
        # All flags of one request come in a row, with the same attributes object.
        if attributes is not of[2] or row[1] != of[0] or row[7] != of[1]:
            of = (row[1], row[7], attributes)
            text = WANTED.text_of(*of[:2], attributes)
        finished.append((*row[:_ATTRIBUTES], text, row[_IS_PREFETCHED]))
    return finished


def _pack_what_can_be(rows: list[_Row]) -> tuple[bytes, int]:
    """Return the packed batch, and how many rows could not be packed: a bad row must not end the thread."""
    try:
        return pack((rows, ())), 0
    except (TypeError, ValueError, OverflowError):  # UnicodeEncodeError is a ValueError
        good = [row for row in rows if _is_packable(row)]
        return pack((good, ())), len(rows) - len(good)


def _is_packable(row: _Row) -> bool:
    try:
        pack(row)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _write_directly(packed: bytes) -> bool:
    try:
        store_events(unpack(packed))
    except DatabaseError as error:
        log.warning("PostgreSQL does not take exposures either", because=str(error))
        return False
    return True


EXPOSURES = ExposureBuffer()
on_reset(EXPOSURES.reset)
