"""The contract of every broker: all or nothing, nothing lost, each batch one consumer's, the broker killed or not."""

import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Protocol

import psutil
import pytest
from pytest_django import Settings

from analytics.pipeline.brokers import BROKERS
from analytics.pipeline.brokers import broker as chosen_broker
from analytics.pipeline.brokers import redis as redis_broker
from analytics.pipeline.brokers.base import Broker, BrokerAwayError, BrokerFullError, Delivery


class Server(Protocol):
    """A broker's server of these tests' own, which they may kill."""

    def configure(self, settings: Settings) -> None: ...
    def process(self) -> psutil.Process: ...
    def kill(self) -> None: ...
    def start(self) -> None: ...
    def lose_everything(self) -> None: ...


class RedisServer:
    """An embedded Redis, with its data in a folder of its own."""

    def __init__(self, folder: Path, servers: ModuleType) -> None:
        self._folder, self._servers = folder, servers

    def configure(self, settings: Settings) -> None:
        settings.REDIS_URL = self._servers.redis_url(self._folder)
        settings.REDIS_PREFIX = uuid.uuid4().hex

    def process(self) -> psutil.Process:
        return psutil.Process(self._servers.redis.running_pid(self._servers.layout.Layout.of(self._folder)))

    def kill(self) -> None:
        process = self.process()
        process.kill()
        process.wait(timeout=120)

    def start(self) -> None:
        with self._servers.session(self._folder, fsync=False, with_postgres=False):
            pass

    def lose_everything(self) -> None:
        from redis import Redis  # noqa: PLC0415 - beside the client it makes

        Redis.from_url(self._servers.redis_url(self._folder)).flushall()


@pytest.fixture(scope="module", params=BROKERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, embedded_servers: ModuleType
) -> Iterator[Server]:
    assert request.param == "redis", "say here how this broker's server is started"
    folder = tmp_path_factory.mktemp("broker")
    with embedded_servers.session(folder, fsync=False, with_postgres=False):
        yield RedisServer(folder, embedded_servers)


@pytest.fixture
def broker(
    request: pytest.FixtureRequest, server: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Broker:
    server.configure(settings)
    # As it is shipped; other tests are more patient.
    monkeypatch.setattr(redis_broker, "_IMPATIENT_SECONDS", 0.25)
    return BROKERS[request.node.callspec.params["server"]]()


def _taken(broker: Broker, consumer: str = "one", *, limit: int = 100) -> list[Delivery]:
    return broker.take(consumer, limit=limit, wait_seconds=0.05)


def _payloads(deliveries: list[Delivery]) -> list[bytes]:
    return [delivery.payload for delivery in deliveries]


def test_append__taken__are_the_same_batches_in_their_order(broker: Broker) -> None:
    broker.append([b"a", b"b\x00\xff"])
    broker.append([b"c"])

    assert _payloads(_taken(broker, limit=2)) == [b"a", b"b\x00\xff"]
    assert _payloads(_taken(broker)) == [b"c"]
    assert _taken(broker) == []


def test_append__beyond_the_bound__takes_none_of_them(broker: Broker, settings: Settings) -> None:
    settings.EVENT_STREAM_MAX_BATCHES = 3
    broker.append([b"a", b"b"])

    with pytest.raises(BrokerFullError):
        broker.append([b"c", b"d"])
    assert broker.length() == 2
    broker.append([b"c"])
    assert _payloads(_taken(broker)) == [b"a", b"b", b"c"]


def test_append__beyond_the_bytes__takes_none_of_them(broker: Broker, settings: Settings) -> None:
    settings.EVENT_STREAM_MAX_BYTES = 100_000
    broker.append([b"a" * 60_000])

    with pytest.raises(BrokerFullError, match="bytes"):
        broker.append([b"b" * 30_000, b"c" * 30_000])
    assert broker.length() == 1
    broker.done(_taken(broker))
    broker.append([b"b" * 60_000])


def test_append__taken_but_not_done__still_counts_against_the_bound(broker: Broker, settings: Settings) -> None:
    settings.EVENT_STREAM_MAX_BATCHES = 1
    broker.append([b"a"])
    taken = _taken(broker)

    with pytest.raises(BrokerFullError):
        broker.append([b"b"])
    broker.done(taken)
    broker.append([b"b"])


def test_append__by_many_at_once__never_goes_over_the_bound(broker: Broker, settings: Settings) -> None:
    settings.EVENT_STREAM_MAX_BATCHES = 50
    full = threading.Semaphore(0)

    def append(number: int) -> None:
        try:
            broker.append([b"%d" % number] * 3)
        except BrokerFullError:
            full.release()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(append, range(40)))
    assert broker.length() == 48
    payloads = _payloads(_taken(broker))
    assert all(payloads.count(payload) == 3 for payload in payloads)
    assert sum(full.acquire(blocking=False) for _ in range(40)) == 40 - 16


def test_take__by_two__gives_each_batch_to_one(broker: Broker) -> None:
    broker.append([b"a", b"b"])

    assert _payloads(_taken(broker, "one", limit=1)) == [b"a"]
    assert _payloads(_taken(broker, "two")) == [b"b"]


def test_take__waiting__has_what_is_appended_meanwhile(broker: Broker) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(broker.take, "one", limit=10, wait_seconds=0.5)
        broker.append([b"a"])
        found = waiting.result()
    assert _payloads(found or _taken(broker)) == [b"a"]


def test_done__once_and_again__leaves_nothing(broker: Broker) -> None:
    broker.append([b"a", b"b"])
    taken = _taken(broker)
    assert broker.length() == 2

    broker.done(taken[:1])
    broker.done(taken)
    broker.done(taken)

    assert (broker.length(), broker.lag_seconds()) == (0, 0.0)
    assert broker.reclaim("two", limit=10, idle_seconds=0) == []


def test_reclaim__what_another_is_not_done_with__once_it_is_idle_for_long(broker: Broker) -> None:
    broker.append([b"a", b"b", b"c"])
    first, *_ = _taken(broker, "one", limit=2)
    broker.done([first])

    assert broker.reclaim("two", limit=10, idle_seconds=60) == []
    time.sleep(0.05)
    again = broker.reclaim("two", limit=10, idle_seconds=0.02)
    assert _payloads(again) == [b"b"]
    # Neither what is done nor what nobody took; and the new owner has it from now on.
    assert broker.reclaim("three", limit=10, idle_seconds=60) == []
    broker.done(again)
    assert _payloads(_taken(broker, "one")) == [b"c"]


def test_reclaim__done_by_its_former_owner__is_gone_for_both(broker: Broker) -> None:
    broker.append([b"a"])
    taken = _taken(broker, "one")
    again = broker.reclaim("two", limit=10, idle_seconds=0)

    broker.done(taken)
    broker.done(again)

    assert broker.length() == 0
    assert broker.reclaim("three", limit=10, idle_seconds=0) == []


def test_leave__with_a_batch_in_hand__leaves_it_to_the_others(broker: Broker) -> None:
    broker.append([b"a"])
    _taken(broker, "one")

    broker.leave("one")
    broker.leave("nobody")

    assert _payloads(broker.reclaim("two", limit=10, idle_seconds=0)) == [b"a"]


def test_lag__is_the_age_of_the_oldest_that_is_not_done(broker: Broker) -> None:
    assert (broker.length(), broker.lag_seconds()) == (0, 0.0)
    broker.append([b"a"])
    time.sleep(0.1)
    broker.append([b"b"])

    assert 0.1 <= broker.lag_seconds() < 60
    oldest, newest = _taken(broker)
    began, before = time.monotonic(), broker.lag_seconds()
    broker.done([oldest])
    lag = broker.lag_seconds()
    # The younger one came 0.1 s later.
    assert 0 < lag < before + (time.monotonic() - began) - 0.09
    broker.done([newest])
    assert broker.lag_seconds() == 0.0


@pytest.mark.processes
def test_killed__every_verb_says_that_it_is_away(
    broker: Broker, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A moment that lasts until a busy machine has started the server again.
    monkeypatch.setattr(redis_broker, "_AVOID_SECONDS", 300.0)
    broker.append([b"a"])
    taken = _taken(broker)
    server.kill()
    try:
        for verb in (
            lambda: broker.append([b"b"]),
            lambda: broker.append([b"b"], patient=True),
            lambda: _taken(broker),
            lambda: broker.done(taken),
            lambda: broker.reclaim("two", limit=10, idle_seconds=0),
            broker.length,
            broker.lag_seconds,
            lambda: broker.leave("one"),
        ):
            with pytest.raises(BrokerAwayError):
                verb()
    finally:
        server.start()

    # Whoever has another way to go takes it for a moment more; the patient ask at once.
    with pytest.raises(BrokerAwayError):
        broker.append([b"b"])
    broker.append([b"b"], patient=True)
    broker.append([b"c"])
    broker.done(taken)
    assert _payloads(_taken(broker)) == [b"b", b"c"]


@pytest.mark.processes
def test_killed_in_the_middle__what_was_appended_is_delivered_and_what_is_done_is_not(
    broker: Broker, server: Server
) -> None:
    broker.append([b"done", b"taken", b"waiting"])
    done, taken = _taken(broker, "one", limit=2)
    broker.done([done])

    server.kill()
    server.start()

    assert broker.length() == 2
    again = broker.reclaim("two", limit=10, idle_seconds=0)
    assert _payloads(again) == [taken.payload]
    rest = _taken(broker, "two")
    assert _payloads(rest) == [b"waiting"]
    broker.done([*again, *rest])
    assert broker.length() == 0


@pytest.mark.processes
def test_killed_while_many_append__each_append_that_returned_is_there(broker: Broker, server: Server) -> None:
    appended: list[bytes] = []
    enough = threading.Event()

    def append() -> None:
        for number in range(100_000):
            payload = b"%d" % number
            try:
                broker.append([payload], patient=True)
            except BrokerAwayError:
                return
            appended.append(payload)
            if number == 200:
                enough.set()

    thread = threading.Thread(target=append)
    thread.start()
    try:
        assert enough.wait(60)
        server.kill()
        thread.join(60)
    finally:
        server.start()

    found: list[bytes] = []
    while batch := _taken(broker, limit=1000):
        found += _payloads(batch)
        broker.done(batch)
    # The last one may be there although its answer never came.
    assert found[: len(appended)] == appended
    assert len(found) - len(appended) <= 1


def test_data_lost__goes_on_with_what_comes(broker: Broker, server: Server) -> None:
    broker.append([b"a"])
    taken = _taken(broker)
    server.lose_everything()

    broker.done(taken)
    assert broker.reclaim("one", limit=10, idle_seconds=0) == []
    broker.append([b"b"])
    assert _payloads(_taken(broker)) == [b"b"]


def test_broker__of_this_process__is_one(settings: Settings) -> None:
    assert chosen_broker() is chosen_broker()


def test_append__of_an_impatient_caller__waits_a_moment_and_then_not_at_all(broker: Broker, server: Server) -> None:
    """A broker that hangs: who has another way to go loses a moment once, and whoever reaches it again ends that."""
    process = server.process()
    process.suspend()
    try:
        started = time.monotonic()
        for _ in range(50):
            with pytest.raises(BrokerAwayError):
                broker.append([b"a"])
        # Fifty waits would be 12.5 s.
        assert time.monotonic() - started < 6
    finally:
        process.resume()
    assert broker.length() == 0
    broker.append([b"b"])
    assert _payloads(_taken(broker)) == [b"b"]
