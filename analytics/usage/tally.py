"""What this process evaluated: counted in dicts, and stored by the minute by a thread that evaluates nothing."""

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any, Final

import structlog
from django.utils import timezone
from openflagship.engine import Answer
from openflagship.engine.answer import ERROR, FLAG_NOT_FOUND
from openflagship.ids import uuid7_text

from analytics.usage.batches import API, OFREP, Counted, Source, UsageBatch, storable
from analytics.usage.folding import fold
from tenancy.process_memory import on_reset

# Shorter than a minute, so that a flag is known to be used within two of them, however rarely a process looks.
_FLUSH_SECONDS: Final = 55.0
# A number with its answer takes some 200 bytes.
_MOST_NUMBERS: Final = 100_000
_MOST_SOURCES: Final = 1_000
_MOST_UNKNOWN: Final = 1_000
# Stored in a fraction of a second, in one transaction.
_MOST_ROWS: Final = 5_000

log = structlog.get_logger(__name__)

# [how often, the flag's key, the answer], by `id()` of the answer, which is kept alive here.
Numbers = dict[int, list[Any]]


class UsageTally:
    """One per process.

    An evaluation does `counted[kind][environment_id][service][id(answer)][0] += 1`. Between looking a number up and
    adding to it nothing is called, so no other thread runs in between, and no count is lost without a lock. Answers
    belong to their environment: all evaluations of a flag that end alike share one.
    """

    def __init__(self) -> None:
        self.counted: Final[dict[str, dict[int, dict[str, Numbers]]]] = {API: {}, OFREP: {}}
        self.reset()
        # The parent stores what it counted.
        os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        """Begin with nothing counted."""
        for by_environment in self.counted.values():
            by_environment.clear()
        # Those of sources that were quiet. An evaluation that began before may still count there.
        self._leaving: list[tuple[Source, Numbers]] = []
        self._begun = self._sources = 0
        self._failures: Counter[Counted] = Counter()
        self._unknown: Counter[tuple[Source, str]] = Counter()
        self._taken_by_reason: Counter[str] = Counter()
        # Taken out, and not stored yet. Each keeps its id, so that it counts once whatever became of the first attempt.
        self._taken: deque[UsageBatch] = deque()
        self._flush_at = time.monotonic() + _FLUSH_SECONDS
        self._flushing, self._taking, self._failing = threading.Lock(), threading.Lock(), threading.Lock()

    def numbers_of(self, source: Source) -> Numbers:
        """Where evaluations of that source are counted."""
        services = self.counted[source.kind].setdefault(source.environment_id, {})
        numbers = services.get(source.service)
        if numbers is None:
            name = source.service if self._sources < _MOST_SOURCES else ""
            self._sources += name not in services
            numbers = services.setdefault(name, {})
        return numbers

    def begin(self, source: Source, flag_key: str, answer: Answer) -> None:
        """Count what has no number yet: an answer's first use, or an error, whose answer nobody shares."""
        if answer.error_code is not None:
            self._count_failure(source, flag_key, answer.error_code)
            return
        self._begun += 1
        numbers = self.numbers_of(source if self._begun <= _MOST_NUMBERS else source._replace(service=""))
        while True:
            numbers.setdefault(id(answer), [0, flag_key, answer])
            try:
                numbers[id(answer)][0] += 1
            except KeyError:
                continue  # It was taken in between.
            return

    def _count_failure(self, source: Source, flag_key: str, code: str) -> None:
        with self._failing:
            self._taken_by_reason[ERROR] += 1
            if code != FLAG_NOT_FOUND:
                self._failures[Counted(source, flag_key, "", ERROR)] += 1
                return
            unknown, place = self._unknown, (source, storable(flag_key))
            if len(unknown) < _MOST_UNKNOWN or place in unknown:
                unknown[place] += 1

    @property
    def is_due(self) -> bool:
        return time.monotonic() >= self._flush_at

    def flush(self) -> None:
        """Store what was counted so far. Raises DatabaseError; nothing is lost then, and more is counted meanwhile."""
        with self._flushing:
            try:
                # What could not be stored the last time comes first.
                self._store()
                self._taken.extend(list(self._take()))
                self._store()
            finally:
                self._flush_at = time.monotonic() + _FLUSH_SECONDS

    def _store(self) -> None:
        while self._taken:
            fold(self._taken[0])
            self._taken.popleft()

    def close(self) -> None:
        """At the exit of a process: store what is left, or say how much is lost."""
        try:
            self.flush()
        except Exception:
            log.exception("usage_lost_at_exit", rows=sum(map(len, self._taken)))

    def by_reason(self) -> Counter[str]:
        """How often each reason was answered since this process began."""
        with self._taking:
            found = Counter(self._taken_by_reason)
            for _, numbers in self._all():
                for count, _, answer in list(numbers.values()):
                    found[answer.reason] += count
        return found

    def _take(self) -> Iterator[UsageBatch]:
        with self._failing:
            flags, self._failures = self._failures, Counter()
            unknown, self._unknown = self._unknown, Counter()
        with self._taking:
            sources = self._all()
            self._leaving, self._begun = [], 0
            for source, numbers in sources:
                if not numbers:
                    self._leave(source, numbers)
                for key in list(numbers):
                    # Once it is out, nobody adds to it.
                    count, flag_key, answer = numbers.pop(key)
                    flags[Counted(source, flag_key, answer.variant or "", answer.reason)] += count
                    self._taken_by_reason[answer.reason] += count
        now = timezone.now()
        rows = iter(flags.items())
        while part := dict(islice(rows, _MOST_ROWS)):
            yield UsageBatch(_new_id(now), now, part)
        if unknown:
            yield UsageBatch(_new_id(now), now, {}, unknown)

    def _all(self) -> list[tuple[Source, Numbers]]:
        found = [
            (Source(environment_id, kind, service), numbers)
            for kind, by_environment in self.counted.items()
            for environment_id, services in list(by_environment.items())
            for service, numbers in list(services.items())
        ]
        return [*found, *self._leaving]

    def _leave(self, source: Source, numbers: Numbers) -> None:
        services = self.counted[source.kind][source.environment_id]
        if services.get(source.service) is numbers:
            del services[source.service]
            self._sources -= 1
            self._leaving.append((source, numbers))


def _new_id(now: datetime) -> str:
    return uuid7_text(int(now.timestamp() * 1000))


USAGE = UsageTally()
on_reset(USAGE.reset)
