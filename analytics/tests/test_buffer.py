"""The exposure buffer: never in the evaluation's way, bounded, patient while Redis is away, empty at shutdown."""

import gc
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from openflagship.ids import uuid7
from pytest_django import Settings

from analytics.event_records import ExposureEvent as Event
from analytics.event_records import unpack
from analytics.models import Exposure
from analytics.pipeline.brokers import broker
from analytics.pipeline.exposure_buffer import ExposureBuffer
from analytics.testing import empty_stream, streamed


@pytest.fixture(autouse=True)
def _empty_stream() -> Iterator[None]:
    yield
    broker.cache_clear()
    empty_stream()


@pytest.fixture
def buffer() -> Iterator[ExposureBuffer]:
    made = ExposureBuffer(capacity=5000, flush_seconds=0.02)
    yield made
    made.close(timeout=0.1)


@pytest.fixture
def no_redis(settings: Settings, tmp_path: Path, embedded_servers: ModuleType) -> Iterator[None]:
    settings.REDIS_URL = embedded_servers.redis_url(tmp_path)
    broker.cache_clear()
    yield
    broker.cache_clear()


def _add(buffer: ExposureBuffer, count: int, *, environment_id: int = 1) -> None:
    for number in range(count):
        buffer.add(
            *(environment_id, uuid7(), "new-checkout", f"user-{number}", "treatment", "SPLIT", "r1", "e1", 7),
            *(1_700_000_000_000 + number, "api", None),
        )


def _streamed() -> list[Event]:
    return [event for batch in streamed() for event in batch.exposures]


def test_poison__packed_with_others__leaves_the_thread_alive(buffer: ExposureBuffer) -> None:
    _add(buffer, 1)
    buffer.add(1, object(), "f", "u", "v", "r", None, None, 1, 1, "api", None)
    assert buffer.flush(timeout=90)
    _add(buffer, 2)
    assert buffer.flush(timeout=90)
    assert buffer.dropped == 1
    assert [event.unit_id for event in _streamed()] == ["user-0", "user-0", "user-1"]


def test_add__while_what_waited_is_sent__waits_for_the_next_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = ExposureBuffer(capacity=5000, flush_seconds=3600)
    sent: list[int] = []
    sent_twice = threading.Event()

    def append(packed: list[bytes], *, patient: bool) -> None:
        sent.append(len(unpack(packed[0]).exposures))
        if len(sent) == 1:
            _add(buffer, 1)
        else:
            sent_twice.set()

    monkeypatch.setattr(broker(), "append", append)
    # So many that they do not wait for the turn that never comes.
    _add(buffer, 1001)
    assert sent_twice.wait(90)
    assert sent == [1000, 1]
    buffer.close(timeout=90)
    assert sent == [1000, 1, 1]


def test_added__flushed__every_field_is_in_the_stream(buffer: ExposureBuffer) -> None:
    _add(buffer, 1)
    assert buffer.flush(timeout=90)
    (event,) = _streamed()
    assert (event.environment_id, event.flag_key, event.unit_id, event.variant) == (
        1,
        "new-checkout",
        "user-0",
        "treatment",
    )
    assert (event.reason, event.rule_id, event.experiment, event.config_version) == ("SPLIT", "r1", "e1", 7)
    assert (event.occurred_ms, event.source, event.user_agent) == (1_700_000_000_000, "api", None)


def test_added__in_thousands__travel_in_few_entries_and_none_is_lost(buffer: ExposureBuffer) -> None:
    _add(buffer, 4500)
    assert buffer.flush(timeout=90)
    assert {event.unit_id for event in _streamed()} == {f"user-{number}" for number in range(4500)}
    assert broker().length() < 450
    assert (buffer.dropped, buffer.depth) == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_full__newest_are_dropped_and_counted(no_redis: None) -> None:
    buffer = ExposureBuffer(capacity=100, flush_seconds=3600)
    _add(buffer, 150)
    assert (buffer.depth, buffer.dropped) == (100, 50)
    # Until the thread has written them to PostgreSQL: it must not do so in the midst of the next test.
    buffer.close(timeout=90)
    assert buffer.depth == 0


@pytest.mark.processes
def test_redis_away__kept_and_sent_once_it_is_there(
    settings: Settings, tmp_path: Path, embedded_servers: ModuleType
) -> None:
    settings.REDIS_URL = embedded_servers.redis_url(tmp_path)
    broker.cache_clear()
    buffer = ExposureBuffer(capacity=5000, flush_seconds=0.02)
    try:
        _add(buffer, 1500)
        assert not buffer.flush(timeout=0.3)
        assert buffer.depth == 1500
        with embedded_servers.session(tmp_path, fsync=False, with_postgres=False):
            # At once, and not when its patience is over.
            assert buffer.flush(timeout=90)
            assert {event.unit_id for event in _streamed()} == {f"user-{number}" for number in range(1500)}
    finally:
        buffer.close(timeout=0.1)
        broker.cache_clear()


def test_close__sends_what_is_left(buffer: ExposureBuffer) -> None:
    slow = ExposureBuffer(capacity=5000, flush_seconds=3600)
    _add(slow, 10)
    assert slow.depth == 10
    slow.close(timeout=90)
    assert len(_streamed()) == 10


@pytest.mark.django_db(transaction=True)
def test_close__redis_away__writes_to_postgresql(no_redis: None) -> None:
    buffer = ExposureBuffer(capacity=5000, flush_seconds=0.02)
    _add(buffer, 10)
    buffer.close(timeout=90)
    assert buffer.depth == 0
    assert Exposure.objects.count() == 10


def test_fork__child_has_a_buffer_of_its_own_and_parent_keeps_its_events(buffer: ExposureBuffer) -> None:
    slow = ExposureBuffer(capacity=5000, flush_seconds=3600)
    _add(slow, 3, environment_id=1)
    child = os.fork()
    if child == 0:
        # Whatever happens here, the child must not go on into the parent's test run.
        status = 1
        try:
            _add(slow, 2, environment_id=2)
            status = 0 if slow.flush(timeout=90) else 1
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    slow.close(timeout=90)
    assert sorted(event.environment_id for event in _streamed()) == [1, 1, 1, 2, 2]


def test_add__the_buffer_is_running__calls_nothing_that_waits() -> None:
    buffer = ExposureBuffer(capacity=1000, flush_seconds=3600)
    given = (1, uuid7(), "new-checkout", "user-1", "treatment", "SPLIT", None, "e1", 7, 1_700_000_000_000, "api", None)
    buffer.add(*given)
    called: list[str] = []

    def note(_frame: object, event: str, argument: object) -> None:
        if event == "c_call":
            called.append(argument.__qualname__)  # type: ignore[attr-defined]

    # A collection just then would call what others have hung on it.
    gc.disable()
    sys.setprofile(note)
    try:
        buffer.add(*given)
    finally:
        sys.setprofile(None)
        gc.enable()
    buffer.close(timeout=90)
    # The last one ends the noting.
    assert called == ["len", "deque.append", "setprofile"]
