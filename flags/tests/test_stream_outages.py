"""Streams that reconnect while PostgreSQL is away: nothing is told twice, nothing skipped, whatever could be asked."""

import threading

import pytest
from django.db import OperationalError

from flags import services
from flags.propagation import publishing
from flags.propagation.publishing import PUBLISHED, client
from flags.propagation.runtime import RUNTIME
from flags.streaming import hub
from flags.streaming.hub import HUB
from flags.testing.streams import SECONDS, eventually
from flags.versions import loading
from tenancy.testing import ALICE


@pytest.fixture
def secret(transactional_db, environment, make_flag, key):
    make_flag("a")
    return key().secret


@pytest.fixture
def write(environment):
    def _write(count):
        for number in range(count):
            services.update_flag(
                actor=ALICE, environment=environment, key="a", payload={"metadata": {"n": number}}, version=None
            )

    return _write


@pytest.fixture
def deaf(monkeypatch):
    """This process hears nothing and polls nothing: only a reconnecting client makes it look, until `undo()`."""
    monkeypatch.setattr(RUNTIME, "apply_each", lambda steps: True)
    monkeypatch.setattr(RUNTIME._poller, "poll", lambda: None)
    return monkeypatch


@pytest.fixture
def outage(monkeypatch):
    """Takes PostgreSQL away from this process when called, and from then on until the test is over."""

    def away(*_arguments):
        raise OperationalError("away")

    with monkeypatch.context() as context:

        def _begin():
            context.setattr(loading, "current_versions", away)
            context.setattr(loading, "recent_steps", away)

        yield _begin


def test_stream__history_from_before_this_process__comes_from_redis(secret, write, listen, outage):
    write(3)
    stream = listen(secret, last=4)
    outage()

    late = listen(secret, last=1)
    assert [late.next_event().id for _ in range(3)] == [2, 3, 4]

    write(1)
    assert (late.next_event().id, stream.next_event().id) == (5, 5)


def test_stream__told_by_a_process_that_is_ahead__takes_it_from_redis(secret, write, listen, deaf, outage):
    first = listen(secret, last=1)
    write(2)
    outage()

    ahead = listen(secret, last=3)

    assert [first.next_event().id for _ in range(2)] == [2, 3]
    write(1)
    assert HUB._feeds[next(iter(HUB._feeds))].version == 3
    again = listen(secret, last=4)
    assert ahead.next_event().id == 4
    assert again.status == 200


def test_stream__told_what_nobody_can_confirm__waits_and_is_told_nothing_twice(secret, write, listen, deaf, outage):
    outage()
    deaf.setattr(RUNTIME, "catch_up_from_copy", lambda: None)
    # As PostgreSQL goes: nobody in this process has noticed yet.
    RUNTIME.is_database_there = True

    stream = listen(secret, last=3)
    assert stream.next().retry is not None
    deaf.undo()
    write(3)

    assert stream.next_event().id == 4


def test_stream__told_what_never_was__gets_a_snapshot_once_the_database_has_said_so(secret, listen, monkeypatch):
    with monkeypatch.context() as context:
        context.setattr(RUNTIME._poller, "poll", lambda: None)
        context.setattr(hub, "_refresh", lambda: False)
        stream = listen(secret, last=50)
        assert stream.next().retry is not None

    RUNTIME.ask_now()

    event = stream.next_event()
    assert (event.event, event.id) == ("snapshot", 1)


def test_stream__joins_while_a_kill_is_obeyed_ahead_of_missing_steps__is_told_of_it(
    environment, secret, write, listen, monkeypatch
):
    watching = listen(secret, last=1)
    with monkeypatch.context() as context:
        context.setattr(RUNTIME._poller, "poll", lambda: None)
        with monkeypatch.context() as crash:
            crash.setattr(publishing, "publish_changes", lambda changes: None)
            write(1)
        client().hset(PUBLISHED, str(environment.pk), 2)
        services.kill_flag(actor=ALICE, environment=environment, key="a")
        ahead = watching.next_event()

        # One that has the kill from another process already must not be told of it again.
        context.setattr(hub, "_refresh", lambda: False)
        told, has_it = listen(secret, last=1), listen(secret, last=3)
        joined = told.next_event()

    RUNTIME.ask_now()
    for event in (ahead, joined):
        assert (event.event, event.id, event.data["killSwitchVariant"]) == ("kill_switch", None, "control")
    for stream in (watching, told):
        assert [(event.event, event.id) for event in (stream.next_event() for _ in range(2))] == [
            ("flag_updated", 2),
            ("kill_switch", 3),
        ]
    write(1)
    assert has_it.next_event().id == 4


def test_stream__older_than_anything_that_is_kept__asks_the_log_once(environment, secret, write, listen, monkeypatch):
    write(3)
    eventually(lambda: RUNTIME.environments[environment.pk].version == 4)
    asked = []
    monkeypatch.setattr(loading, "recent_steps", lambda *arguments: asked.append(arguments) or [])

    assert [listen(secret, last=1).next_event().event for _ in range(3)] == ["snapshot"] * 3
    assert len(asked) == 1


def test_stream__a_look_was_under_way__looks_again(secret, write, listen, deaf):
    """The look that is under way asked before the client's version was written; its answer is not the last word."""
    asked, may_answer = threading.Event(), threading.Event()
    refresh = hub._refresh

    def slow():
        deaf.setattr(hub, "_refresh", refresh)
        asked.set()
        assert may_answer.wait(SECONDS)
        return True

    hear_up_to, joining = HUB._hear_up_to, []

    async def hear(feed, version):
        joining.append(version)
        return await hear_up_to(feed, version)

    deaf.setattr(hub, "_refresh", slow)
    deaf.setattr(HUB, "_hear_up_to", hear)
    listen_first = threading.Thread(target=lambda: listen(secret, last=2))
    listen_first.start()
    assert asked.wait(SECONDS)
    write(2)
    found = []
    listen_second = threading.Thread(target=lambda: found.append(listen(secret, last=3)))
    listen_second.start()
    eventually(lambda: len(joining) == 2)

    may_answer.set()
    listen_first.join(SECONDS)
    listen_second.join(SECONDS)
    deaf.undo()
    write(1)

    assert found[0].next_event().id == 4
