"""Many clients at once: what they share is made once, what they do they do spread over time."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from flags import services
from flags.propagation.runtime import RUNTIME
from flags.streaming import hub
from flags.streaming.hub import HUB
from flags.testing.streams import SECONDS, eventually
from flags.versions import loading
from tenancy.testing import ALICE

CROWD = 12


@pytest.fixture
def secret(transactional_db, environment, make_flag, key):
    make_flag("a")
    return key().secret


@pytest.fixture
def history(environment, secret):
    """Three steps from before the process listens."""
    for act in (services.kill_flag, services.release_flag, services.kill_flag):
        act(actor=ALICE, environment=environment, key="a")


def test_change__to_a_crowd__is_encoded_once(environment, secret, listen, monkeypatch):
    encoded = []

    def event_of(step, **options):
        encoded.append(step.version)
        return made(step, **options)

    made = hub.event_of
    monkeypatch.setattr(hub, "event_of", event_of)
    streams = [listen(secret, last=1) for _ in range(CROWD)]

    services.kill_flag(actor=ALICE, environment=environment, key="a")

    assert [stream.next_event().id for stream in streams] == [2] * CROWD
    assert encoded == [2]


def test_snapshot__to_a_crowd__is_encoded_once(secret, listen, monkeypatch):
    encoded = []

    class Counted(hub.StreamEvent):
        def __init__(self, version, kind, data, **options):
            encoded.append(kind)
            super().__init__(version, kind, data, **options)

    monkeypatch.setattr(hub, "StreamEvent", Counted)

    assert {listen(secret).next_event().event for _ in range(CROWD)} == {"snapshot"}
    assert encoded == ["snapshot"]


def test_reconnect__of_a_crowd__asks_the_database_once(secret, history, listen, monkeypatch):
    asked, may_answer = [], threading.Event()
    recent_steps, join = loading.recent_steps, HUB.join
    joining = []

    def slow(*arguments):
        asked.append(arguments)
        assert may_answer.wait(SECONDS)
        return recent_steps(*arguments)

    async def counted(client, last_version):
        joining.append(client)
        await join(client, last_version)

    monkeypatch.setattr(loading, "recent_steps", slow)
    monkeypatch.setattr(HUB, "join", counted)
    with ThreadPoolExecutor(CROWD) as pool:
        streams = [pool.submit(listen, secret, last=1) for _ in range(CROWD)]
        eventually(lambda: len(joining) == CROWD)
        may_answer.set()
        told = [[stream.result().next_event().id for _ in range(3)] for stream in streams]

    assert told == [[2, 3, 4]] * CROWD
    assert len(asked) == 1


def test_connect__of_a_crowd__is_told_to_come_back_at_different_times(secret, listen):
    told = [listen(secret, last=1).next().retry for _ in range(CROWD)]

    assert all(1_000 <= retry <= 3_000 for retry in told)
    assert len(set(told)) > 1


def test_subscribe__in_the_midst_of_changes__each_client_gets_each_change_once_in_order(environment, secret, listen):
    """Clients join all along while changes are made, each from an id of its own."""
    last = 1 + 2 * CROWD
    writer = threading.Thread(target=_kill_and_release, args=(environment,))
    writer.start()
    streams = []
    for number in range(CROWD):
        eventually(lambda: RUNTIME.environments[environment.pk].version > number)  # noqa: B023 - called at once
        streams.append((number + 1, listen(secret, last=number + 1)))
    writer.join(SECONDS)

    for since, stream in streams:
        assert [stream.next_event().id for _ in range(since, last)] == list(range(since + 1, last + 1))


def _kill_and_release(environment):
    try:
        for _ in range(CROWD):
            services.kill_flag(actor=ALICE, environment=environment, key="a")
            services.release_flag(actor=ALICE, environment=environment, key="a")
    finally:
        hub.connections.close_all()
