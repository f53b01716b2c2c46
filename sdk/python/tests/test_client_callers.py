"""What callers do to a client that nobody meant them to do: it keeps its promises, or says at once what is wrong."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from openflagship import AsyncFlagShip, FlagShip
from openflagship.client import Hook, HttpSink, Options
from openflagship.client.transport.effects import Logic, Pause
from openflagship.client.transport.threads import perform
from sdk_fixtures import FAST, treatment
from small_platform import KEY, SmallPlatform, eventually
from test_client_async import eventually_async

from sdk.conformance.answers import silent
from sdk.conformance.documents import SERVER_KEY, flag
from sdk.conformance.endpoints import SNAPSHOT, Endpoints

Connect = Callable[..., FlagShip]
# Far more than a bound of a call here, far less than what it would take without one.
_SOON_SECONDS = 25.0
_FULL_DISK = """
import json, resource, sys
from openflagship.client import FileSink

sink = FileSink(sys.argv[1])
sink.send("exposure", [{"number": 0}])
events = [{"number": number, "text": "x" * 100} for number in range(1, 11)]
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
try:
    sink.send("exposure", events)
except OSError as error:
    print(type(error).__name__)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
sink.send("exposure", events)
"""


@pytest.fixture
def server() -> Iterator[Endpoints]:
    made = Endpoints(flag())
    yield made
    made.close()


def test_listener__that_hangs__keeps_no_answer_from_becoming_stale(platform: SmallPlatform, connect: Connect) -> None:
    client = connect(stale_after_seconds=0.3, close_wait_seconds=0.1)
    heard, is_over = threading.Event(), threading.Event()

    def listen(_keys: frozenset[str] | None) -> None:
        heard.set()
        is_over.wait(60)

    client.on_change(listen)
    eventually(lambda: client.status().connection == "streaming")
    platform.change(treatment(enabled=False))
    assert heard.wait(60)
    platform.stop()
    # Not by `status`, which looks at the clock itself.
    eventually(lambda: client.variation_detail("asked", "user-1").stale)
    is_over.set()


def test_listener__calls_exit__the_others_hear(platform: SmallPlatform, connect: Connect) -> None:
    client = connect()
    heard: list[frozenset[str] | None] = []
    client.on_change(lambda _keys: sys.exit(3))
    client.on_change(heard.append)
    eventually(lambda: client.status().connection == "streaming")
    platform.change(treatment(enabled=False))
    eventually(lambda: heard == [frozenset({"asked"})])


def test_async_listener__calls_exit__the_loop_goes_on(platform: SmallPlatform) -> None:
    async def scenario() -> None:
        async with AsyncFlagShip(KEY, platform.url, **FAST) as client:
            heard: list[frozenset[str] | None] = []
            client.on_change(lambda _keys: sys.exit(3))
            client.on_change(heard.append)
            await eventually_async(lambda: client.status().connection == "streaming")
            platform.change(treatment(enabled=False))
            await eventually_async(lambda: heard == [frozenset({"asked"})])

    asyncio.run(scenario())


class Exiting:
    def __init__(self) -> None:
        self.taken: list[str] = []
        self.attempts = 0

    def send(self, kind: str, events: Sequence[Mapping[str, Any]]) -> None:
        self.attempts += 1
        if self.attempts == 1:
            sys.exit(3)
        self.taken += [kind for _ in events]


def test_async_sink__calls_exit__the_loop_goes_on_and_the_events_come_again(
    platform: SmallPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openflagship.client.transport.aio._AFTER_BUG_SECONDS", 0.01)
    sink = Exiting()

    async def scenario() -> None:
        async with AsyncFlagShip(KEY, platform.url, **FAST, sink=sink, usage_seconds=3600) as client:
            client.track("purchase", "user-1")
            await eventually_async(lambda: "conversion" in sink.taken)

    asyncio.run(scenario())


def test_async_client__on_a_second_loop__follows_and_sends_there(platform: SmallPlatform) -> None:
    client = AsyncFlagShip(KEY, platform.url, **{**FAST, "stale_after_seconds": 60, "flush_seconds": 3600})

    async def first() -> None:
        await client.start()
        assert client.is_enabled("asked", "user-1")

    async def second() -> None:
        await client.start()
        await eventually_async(lambda: not client.is_enabled("asked", "user-1"))
        await eventually_async(lambda: client.status().connection == "streaming")
        client.track("second", "user-1")
        assert await client.flush(60)

    async def third() -> None:
        # An evaluation is enough.
        await eventually_async(lambda: client.is_enabled("asked", "user-1"))
        client.track("third", "user-1")

    async def last() -> None:
        await client.close()

    asyncio.run(first())
    platform.change(treatment(enabled=False))
    asyncio.run(second())
    platform.change(treatment())
    asyncio.run(third())
    asyncio.run(last())

    assert [event["eventName"] for event in platform.conversions()] == ["second", "third"]
    assert {event["variant"] for event in platform.exposures()} == {"treatment", "control"}


def test_async_client__its_loop_is_over_and_so_is_its_limit__is_stale(platform: SmallPlatform) -> None:
    client = AsyncFlagShip(KEY, platform.url, **{**FAST, "stale_after_seconds": 0.2})
    asyncio.run(client.start())
    eventually(lambda: client.variation_detail("asked", "user-1").stale)
    assert client.is_enabled("asked", "user-1")

    async def end() -> None:
        await client.close()

    asyncio.run(end())


def test_async_client__closed_from_another_loop__ends_and_sends(platform: SmallPlatform) -> None:
    client = AsyncFlagShip(KEY, platform.url, **{**FAST, "flush_seconds": 3600})
    is_started, is_over = threading.Event(), threading.Event()

    async def serve() -> None:
        await client.start()
        client.track("purchase", "user-1")
        is_started.set()
        await asyncio.to_thread(is_over.wait, 60)

    serving = threading.Thread(target=asyncio.run, args=(serve(),))
    serving.start()
    assert is_started.wait(60)
    asyncio.run(client.close())
    assert [event["eventName"] for event in platform.conversions()] == ["purchase"]
    assert client.status().connection == "closed"
    is_over.set()
    serving.join(60)
    assert not serving.is_alive()


@pytest.mark.parametrize("is_async", [False, True])
def test_closed_client__after_its_limit__is_stale(platform: SmallPlatform, is_async: bool) -> None:
    settings = {**FAST, "stale_after_seconds": 0.2}

    async def use() -> AsyncFlagShip:
        async with AsyncFlagShip(KEY, platform.url, **settings) as client:
            assert client.is_enabled("asked", "user-1")
        return client

    client: AsyncFlagShip | FlagShip
    if is_async:
        client = asyncio.run(use())
    else:
        with FlagShip(KEY, platform.url, **settings) as client:
            assert client.is_enabled("asked", "user-1")
    eventually(lambda: client.variation_detail("asked", "user-1").stale)
    assert client.is_enabled("asked", "user-1")
    assert client.status().is_stale


async def _nothing(*_: Any) -> None:
    """A coroutine function."""


class Waiting:
    async def send(self, kind: str, events: Any) -> None:
        """Never called."""

    def load(self) -> None:
        """Nothing."""

    save = send
    __call__ = send


class WaitingHook(Hook):
    async def before(self, question: Any) -> None:  # type: ignore[override]  # which is the mistake
        """Never called."""


@pytest.mark.parametrize("settings", [{"sink": Waiting()}, {"store": Waiting()}, {"before_send": _nothing}])
def test_coroutine_functions__as_settings__are_refused_by_name(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(settings))}.*not a coroutine function"):
        Options(**settings)


def test_coroutine_functions__as_hook_and_listeners__are_refused(platform: SmallPlatform, connect: Connect) -> None:
    client = connect()
    with pytest.raises(ValueError, match="WaitingHook: 'before'"):
        Options(hooks=[WaitingHook()])
    with pytest.raises(ValueError, match="WaitingHook: 'before'"):
        client.add_hook(WaitingHook())
    for listen in (client.on_change, client.on_configuration, client.on_connection):
        for listener in (_nothing, Waiting()):
            with pytest.raises(TypeError, match="coroutine function"):
                listen(listener)  # type: ignore[arg-type]  # which is the mistake


class Sly:
    """Only a call shows what it is."""

    def send(self, kind: str, events: Any) -> Any:
        return _nothing()


def test_sink__gives_a_coroutine__has_taken_nothing(connect: Connect) -> None:
    client = connect(sink=Sly(), usage_seconds=3600, close_wait_seconds=0.1)
    client.track("purchase", "user-1")
    assert not client.flush(1)
    status = client.status()
    assert (status.events_sent, status.events_pending) == (0, 1)
    assert "coroutine function" in str(status.error)


def test_listener__gives_a_coroutine__is_said(
    platform: SmallPlatform, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect()
    client.on_change(lambda _keys: _nothing())
    eventually(lambda: client.status().connection == "streaming")
    platform.change(treatment(enabled=False))
    eventually(lambda: "coroutine function" in caplog.text)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of a file's size.")
def test_file_sink__disk_is_full__raises_and_goes_on_with_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "events.jsonl"
    command = [sys.executable, "-c", _FULL_DISK, path]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (found.stdout, found.stderr) == ("OSError\n", "")
    whole, cut = [], []
    for line in path.read_text().splitlines():
        try:
            whole.append(json.loads(line)["event"]["number"])
        except ValueError:
            cut.append(line)

    assert whole[0] == 0
    assert whole[-10:] == list(range(1, 11))
    assert len(cut) == 1
    assert path.stat().st_mode & 0o777 == 0o600


def test_on_demand__silent_server__takes_no_longer_than_a_call_may(server: Endpoints) -> None:
    server.always[SNAPSHOT] = silent
    client = FlagShip(SERVER_KEY, server.url, mode="on_demand", connect_seconds=60, close_wait_seconds=0.1)
    began = time.monotonic()
    assert client.ready(0.1) == "nothing"
    client = FlagShip(SERVER_KEY, server.url, mode="on_demand", connect_seconds=60, close_wait_seconds=0.1)
    assert not client.wait_until_ready(0.1)
    del server.always[SNAPSHOT]
    client = FlagShip(SERVER_KEY, server.url, mode="on_demand", connect_seconds=60, close_wait_seconds=0.1)
    assert client.is_enabled("asked", "user-1")
    server.always["/api/events/exposure"] = silent
    assert not client.flush(0.1)
    assert client.status().events_pending == 1
    del server.always["/api/events/exposure"]
    assert client.flush(60)
    assert client.status().events_sent == 1
    assert time.monotonic() - began < _SOON_SECONDS


def test_perform__logic_that_goes_on_for_ever__ends_in_time() -> None:
    steps: list[str] = []

    def endless() -> Logic[None]:
        try:
            while True:
                yield Pause(0.01)
        finally:
            steps.append("left")

    with pytest.raises(TimeoutError):
        perform(endless(), None, 0.05)
    assert steps == ["left"]


@pytest.mark.parametrize("name", ["is_offline", "is_streaming", "is_sending_events"])
@pytest.mark.parametrize("value", ["0", "false", 1, None])
def test_switch__of_anything_but_true_and_false__is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must be True or False"):
        Options(**{name: value})


@pytest.mark.parametrize("name", ["signing_secret", "hash_key"])
def test_secret__that_is_no_text__is_refused_as_such(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be text"):
        Options(**{name: b"secret"})


@pytest.mark.parametrize(
    ("key", "problem"), [(5, "must be text"), (b"fs_server_a", "must be text"), ("fs_edge_a", "edge")]
)
def test_key__that_cannot_be_one__is_refused(key: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        FlagShip(key, "http://127.0.0.1:9")


def test_addresses__with_a_password__are_in_no_repr() -> None:
    address = "https://user:PASSWORD@events.example.com"
    assert "PASSWORD" not in repr(Options(sink=HttpSink(address), stream_url=address))
