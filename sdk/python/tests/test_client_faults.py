"""What goes wrong on the other side must cost a client no more than the one thing that went wrong."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openfeature import api
from openfeature.provider import ProviderStatus
from openflagship import FlagShip
from openflagship.client import MemoryStore
from openflagship.client.following.configuration import Configuration, Proof, ResyncNeededError
from openflagship.client.following.synchroniser import Synchroniser
from openflagship.client.transport.sse import EventParser, EventTooLargeError, ServerEvent
from openflagship.engine import CompiledEnvironment
from openflagship.openfeature import FlagShipProvider
from sdk_fixtures import FAST
from small_platform import eventually

from sdk.conformance.answers import Answer, Call, status
from sdk.conformance.documents import SERVER_KEY, flag, off, sse
from sdk.conformance.endpoints import SNAPSHOT, STREAM, Endpoints

Join = Callable[..., FlagShip]
NO_ADDRESSES = ["http://[", "http://127.0.0.1:99999/api/stream", "/api/ä"]


@pytest.fixture
def server() -> Iterator[Endpoints]:
    made = Endpoints(flag())
    yield made
    made.close()


@pytest.fixture
def join(server: Endpoints) -> Iterator[Join]:
    """Make clients of the server."""
    clients: list[FlagShip] = []

    def _join(**settings: Any) -> FlagShip:
        clients.append(FlagShip(SERVER_KEY, server.url, **{**FAST, **settings}))
        return clients[-1]

    yield _join
    for client in clients:
        client.close()


def environment(version: int) -> CompiledEnvironment:
    return CompiledEnvironment.from_document({"contract": 1, "version": version, "flags": {}, "segments": {}})


def test_signed__the_snapshot_lags_behind_the_stream__is_asked_for_until_it_does_not(
    server: Endpoints, join: Join
) -> None:
    server.secret = "good"
    client = join(signing_secret="good")
    eventually(lambda: server.streams)
    before = len(server.of(SNAPSHOT))
    server.say(sse("flag_updated", off(), 2))
    eventually(lambda: len(server.of(SNAPSHOT)) >= before + 3)
    assert "older" in (client.status().error or "")
    server.version, server.flags = 2, {"asked": off()}

    eventually(lambda: not client.is_enabled("asked", "user-1"))
    eventually(lambda: client.status().connection == "streaming")


def test_configuration__a_newer_version_is_told_of__is_not_confirmed_until_it_is_had() -> None:
    now = [0.0]
    configuration = Configuration(100.0, clock=lambda: now[0])
    configuration.replace(environment(1), proof=Proof(b"", ()))
    configuration.hear(3)
    now[0] = 50.0
    configuration.confirm()
    configuration.confirm_fetched(0.0)
    configuration.replace(environment(2))
    assert (configuration.version, configuration.age_seconds, configuration.is_behind) == (2, 50.0, True)
    configuration.replace(environment(3))

    assert (configuration.version, configuration.age_seconds, configuration.is_behind) == (3, 0.0, False)


@pytest.mark.parametrize("proof", [None, Proof(b"", ())], ids=["unsigned", "signed"])
def test_configuration__all_snapshots_are_older_for_long__the_server_went_back(proof: Proof | None) -> None:
    now = [0.0]
    configuration = Configuration(100.0, clock=lambda: now[0])
    configuration.replace(environment(9), proof=proof)
    for at, version, expected in [(10, 3, 9), (60, 9, 9), (70, 3, 9), (160, 3, 9), (170, 3, 3)]:
        now[0] = at
        configuration.replace(environment(version), proof=proof)
        assert configuration.version == expected, at
        # A lagging sender proves nothing.
        assert configuration.age_seconds == (at if at < 60 else at - 60 if at < 170 else 0), at


def test_stream_refuses_the_key__the_snapshot_does_not__it_is_polled_and_the_provider_ready(
    server: Endpoints, join: Join
) -> None:
    server.always[STREAM] = status(401)
    heard: list[str] = []
    client = join(poll_seconds=0.05)
    client.on_connection(heard.append)
    api.set_provider_and_wait(FlagShipProvider(client), "polled")
    eventually(lambda: client.status().connection == "polling")
    server.version, server.flags = 2, {"asked": off()}
    eventually(lambda: not client.is_enabled("asked", "user-1"))
    refused = len(server.of(STREAM))
    eventually(lambda: len(server.of(STREAM)) >= refused + 3)

    assert "refused" not in heard
    assert api.get_client("polled").get_provider_status() == ProviderStatus.READY
    api.shutdown()
    api.clear_providers()


@pytest.mark.parametrize("location", NO_ADDRESSES)
def test_stream_leads_to_no_address__it_is_polled(server: Endpoints, join: Join, location: str) -> None:
    server.always[STREAM] = status(302, Location=location)
    client = join(poll_seconds=0.05, poll_after_seconds=0.05)
    server.version, server.flags = 2, {"asked": off()}

    eventually(lambda: not client.is_enabled("asked", "user-1"))


@pytest.mark.parametrize("location", NO_ADDRESSES)
def test_on_demand__the_snapshot_leads_to_no_address__is_served_from_memory(
    server: Endpoints, join: Join, location: str
) -> None:
    client = join(mode="on_demand", poll_seconds=0.01)
    assert client.variation_detail("asked", "user-1", False).value is True
    server.always[SNAPSHOT] = status(302, Location=location)
    assert not client.refresh()

    assert client.variation_detail("asked", "user-1", False).value is True
    assert client.ready() == "network"


def test_bug__while_the_stream_is_followed__it_is_polled(
    server: Endpoints, join: Join, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Synchroniser, "_follow", fail)
    client = join(poll_seconds=0.05, poll_after_seconds=0.05)
    server.version, server.flags = 2, {"asked": off()}
    eventually(lambda: not client.is_enabled("asked", "user-1"))

    assert any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("digits", ["9" * 16, "9" * 400, "9" * 5000])
def test_numbers__of_more_digits_than_anybody_means__are_none(digits: str) -> None:
    parser = EventParser()
    parser.feed(f"retry: {digits}\n\n".encode())
    configuration = Configuration(100.0)

    assert parser.retry_milliseconds is None
    assert configuration.prepare([ServerEvent("moon_phase", "{}", digits)]) is None
    with pytest.raises(ResyncNeededError):
        configuration.prepare([ServerEvent("flag_updated", json.dumps(off()), digits)])


def test_on_demand__the_servers_own_news_are_old__is_asked_no_more_often(server: Endpoints, join: Join) -> None:
    server.snapshot_headers = {"X-FlagShip-Age": "5000"}
    client = join(mode="on_demand", poll_seconds=3600)
    for _ in range(5):
        assert client.is_enabled("asked", "user-1")

    assert len(server.of(SNAPSHOT)) == 1


def test_on_demand__many_threads_flush__each_event_is_sent_once(server: Endpoints, join: Join) -> None:
    client = join(mode="on_demand", poll_seconds=3600)
    client.is_enabled("asked", "user-1")
    client.track("purchase", "user-1")
    begun, go_on = threading.Event(), threading.Event()

    def slow(call: Call) -> None:
        begun.set()
        go_on.wait(60)
        call.respond(202, json.dumps({"accepted": 1, "rejected": []}).encode())

    answer: Answer = slow
    for kind in ("exposure", "conversion"):
        server.always[f"/api/events/{kind}"] = answer
    flushes = [threading.Thread(target=client.flush, args=(60,)) for _ in range(4)]
    flushes[0].start()
    assert begun.wait(60)
    for one in flushes[1:]:
        one.start()
    # Time for the others to post the same; too little of it only lets a fault through.
    flushes[1].join(0.3)
    go_on.set()
    for one in flushes:
        one.join(60)

    assert len(server.of("/api/events/exposure")) == 1
    assert len(server.of("/api/events/conversion")) == 1


def test_on_demand__flush__sends_usage_before_the_end(server: Endpoints, join: Join) -> None:
    client = join(mode="on_demand", poll_seconds=0.01, usage_seconds=0.01)
    for version in (2, 3, 4):
        client.is_enabled("asked", "user-1")
        server.version = version
        assert client.refresh()
    # Answers of configurations that were replaced were counted in one cell.
    assert len(client._usage._cells) == 1
    # A flush sends a summary once it is time; on a fast machine all of this takes less than the 0.01 s.
    summary = eventually(lambda: client.flush(60) and server.of("/api/events/usage"))[0].json

    assert sum(row["count"] for row in summary["flags"]) == 3
    assert len(summary["flags"]) == 1


def test_stream_ends_in_order__after_a_poll_that_was_put_off__is_asked_for_soon(server: Endpoints, join: Join) -> None:
    def refuse(call: Call) -> None:
        server.always[SNAPSHOT] = status(503, Retry_After="600")
        status(500)(call)

    server.scripts[STREAM].append(refuse)
    join(poll_after_seconds=0.001)
    eventually(lambda: server.streams)
    assert len(server.of(SNAPSHOT)) > 1
    server.end_streams()

    eventually(lambda: len(server.of(STREAM)) == 3)


def test_store__fails_once__is_written_to_again(server: Endpoints, join: Join) -> None:
    class Flaky(MemoryStore):
        is_full = True

        def save(self, body: bytes, version: int) -> None:
            if self.is_full:
                self.is_full = False
                raise OSError("no room")
            super().save(body, version)

    store = Flaky()
    client = join(store=store)
    eventually(lambda: not store.is_full)
    client.close()

    assert store.load()


def test_configuration__a_sender_tells_an_older_age__wakes_the_clocks_watcher() -> None:
    woken: list[bool] = []
    configuration = Configuration(100.0)
    configuration.announcer.wake = lambda: woken.append(True)
    configuration.confirm()
    assert not woken
    configuration.confirm(50.0)

    assert woken


@pytest.mark.parametrize("line", ["signature: sha256=abcdef\n", "data:\n", "event: a-kind-of-event\n", "id: 1\n"])
def test_event_parser__an_event_that_never_ends__is_too_large_whatever_it_is_made_of(line: str) -> None:
    parser = EventParser(most_bytes=1_000)
    for _ in range(100):
        parser.feed(b": a comment takes no room\n")
    assert parser.waiting_bytes == 0
    with pytest.raises(EventTooLargeError):
        deque(parser.feed(line.encode()) for _ in range(1_000))
