"""The consumer: everything in the stream becomes a row once, whoever dies on the way."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connection
from django.db.utils import OperationalError
from django_redis import get_redis_connection
from pytest_django import Settings

from analytics.event_records import Batch, pack
from analytics.models import Conversion, DeadLetter, Exposure
from analytics.pipeline import dead_letters
from analytics.pipeline.brokers import broker
from analytics.pipeline.brokers.base import BrokerFullError
from analytics.pipeline.ingest import Consumer
from analytics.stores import store
from analytics.tests.conftest import NOON, conversion, exposure

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def consumer() -> Iterator[Consumer]:
    made = Consumer(claim_after_seconds=0.05)
    yield made
    made.stop()
    made.run()


def _exposures(count: int, *, environment_id: int = 1, prefix: str = "user") -> Batch:
    return Batch(exposures=[exposure(environment_id, f"{prefix}-{number}", "control") for number in range(count)])


def _until(condition: Callable[[], bool], *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_entries__ingested__are_rows_and_leave_the_stream(consumer: Consumer) -> None:
    broker().append([pack(_exposures(30)), pack(Batch(conversions=[conversion(1, "user-1", NOON)]))])
    assert consumer.run_once() == 31
    assert (Exposure.objects.count(), Conversion.objects.count()) == (30, 1)
    assert broker().length() == 0
    assert consumer.run_once() == 0


def test_stored_but_not_acknowledged__again__is_no_second_row(consumer: Consumer) -> None:
    batch = _exposures(30)
    store().write(batch)
    broker().append([pack(batch)])
    consumer.run_once()
    assert Exposure.objects.count() == 30
    assert broker().length() == 0


def test_entries_of_a_dead_consumer__are_taken_over(consumer: Consumer) -> None:
    broker().append([pack(_exposures(30))])
    assert broker().take("dead", limit=10, wait_seconds=0.1)
    _until(lambda: consumer.run_once() == 30)
    assert Exposure.objects.count() == 30
    assert broker().length() == 0


def test_entry_that_is_no_batch__is_set_aside_and_the_rest_stored(consumer: Consumer) -> None:
    broker().append([b"not msgpack", pack(_exposures(3)), pack(([["too", "short"]], []))])
    consumer.run_once()
    assert Exposure.objects.count() == 3
    assert sorted(letter.kind for letter in DeadLetter.objects.all()) == ["entry", "exposure"]
    assert broker().length() == 0


def test_dead_letter__retried_once_it_can_be_stored__is_a_row(
    consumer: Consumer, capsys: pytest.CaptureFixture
) -> None:
    call_command("events", "dead-letters", "list")
    letter = DeadLetter.objects.create(
        kind="exposure", reason="a bug since mended", payload=pack(_exposures(1)), environment_id=1
    )
    DeadLetter.objects.create(kind="entry", reason="noise", payload=b"noise")
    call_command("events", "dead-letters", "retry", str(letter.pk))
    call_command("events", "dead-letters", "discard", "--all")
    consumer.run_once()
    assert Exposure.objects.count() == 1
    assert DeadLetter.objects.count() == 0
    assert "0 dead letters" in capsys.readouterr().out


def test_dead_letter__retry_while_the_stream_is_full__is_kept(settings: Settings) -> None:
    DeadLetter.objects.create(kind="exposure", reason="r", payload=pack(_exposures(1)))
    settings.EVENT_STREAM_MAX_BATCHES = 0
    with pytest.raises(BrokerFullError):
        dead_letters.retry()
    assert DeadLetter.objects.count() == 1


def test_postgresql_away__retries_and_loses_nothing(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    real, failures = store().write, [OperationalError("server closed the connection")] * 2

    def write(batch: Batch) -> object:
        if failures:
            raise failures.pop()
        return real(batch)

    monkeypatch.setattr(store(), "write", write)
    broker().append([pack(_exposures(10))])
    assert consumer.run_once() == 10
    assert Exposure.objects.count() == 10


def test_redis_restarted_empty__group_is_made_again(consumer: Consumer) -> None:
    consumer.run_once()
    get_redis_connection("default").delete(f"{django_settings.REDIS_PREFIX}:events")
    broker().append([pack(_exposures(5))])
    _until(lambda: consumer.run_once() == 5)


def test_out_of_order_and_late__are_stored_as_they_are(consumer: Consumer) -> None:
    old = exposure(1, "alice", "control", at=NOON - timedelta(days=60), received_ms=1)
    broker().append([pack(Batch(exposures=[exposure(1, "alice", "control"), old]))])
    consumer.run_once()
    assert sorted(row.occurred_at for row in Exposure.objects.all()) == [NOON - timedelta(days=60), NOON]


def _start_ingest() -> subprocess.Popen[bytes]:
    """A real process on this test's database and prefix."""
    database = connection.settings_dict
    url = f"postgres://{database['USER']}@{database['HOST'].replace('/', '%2F')}:{database['PORT']}/{database['NAME']}"
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "REDIS_URL": django_settings.REDIS_URL,
        "REDIS_PREFIX": django_settings.REDIS_PREFIX,
        "SECRET_KEY": "a-secret-that-only-these-tests-use",
        "INGEST_CLAIM_SECONDS": "0.5",
        "INGEST_BATCH_EVENTS": "300",
    }
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen([sys.executable, "manage.py", "ingest"], cwd=root, env=environment)


@pytest.mark.processes
def test_ingest_killed_in_the_middle__started_again__loses_none_and_doubles_none() -> None:
    batches = [_exposures(200, prefix=f"batch{number}") for number in range(100)]
    running = _start_ingest()
    try:
        for batch in batches[:50]:
            broker().append([pack(batch)])
        _until(lambda: Exposure.objects.count() > 0)
        running.kill()
        running.wait()
        for batch in batches[50:]:
            broker().append([pack(batch), pack(batch)])
        running = _start_ingest()
        _until(lambda: broker().length() == 0)
        assert Exposure.objects.count() == 20_000
        assert Exposure.objects.values("unit_id").distinct().count() == 20_000
        # Where both want the same core, evaluations have it.
        assert psutil.Process(running.pid).nice() == min(psutil.Process().nice() + 10, 19)
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=90) == 0
    finally:
        running.kill()
        running.wait()
