"""Code of the caller's that runs in the middle of the client's: handlers of logs and signals, loops that end."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openflagship import AsyncFlagShip, FlagShip
from sdk_fixtures import FAST, treatment
from small_platform import KEY, SmallPlatform, eventually
from test_client_async import eventually_async

from sdk.conformance.answers import silent
from sdk.conformance.documents import SERVER_KEY, flag
from sdk.conformance.endpoints import Endpoints

Connect = Callable[..., FlagShip]
_TO_A_PIPE = """
from openflagship.client import FileSink
FileSink("/dev/stdout").send("exposure", [{"number": 1}])
"""


class Asking(logging.Handler):
    """Asks the client while a line is written, as a handler that notes the configuration's version does."""

    def __init__(self) -> None:
        super().__init__()
        self.ask: Callable[[], Any] = lambda: None
        self.asked = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.ask()
        self.asked += 1


@pytest.fixture
def handler() -> Iterator[Asking]:
    made = Asking()
    logging.getLogger("openflagship").addHandler(made)
    yield made
    logging.getLogger("openflagship").removeHandler(made)


def _within(act: Callable[[], Any]) -> Any:
    """The result of a call that must not wait for itself."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(act()), daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "it waits for itself"
    return found[0]


def test_log_handler__asks_for_the_state__as_answers_become_stale(
    platform: SmallPlatform, connect: Connect, handler: Asking
) -> None:
    client = connect(stale_after_seconds=0.3, close_wait_seconds=0.1)
    handler.ask = client.status
    platform.stop()
    eventually(lambda: client.variation_detail("asked", "user-1").stale)
    assert _within(client.status).is_stale
    eventually(lambda: handler.asked)


def test_log_handler__asks_a_closed_client__as_answers_become_stale(connect: Connect, handler: Asking) -> None:
    client = connect(stale_after_seconds=0.2)
    client.close()
    handler.ask = lambda: client.is_enabled("asked", "host")
    eventually(lambda: _within(lambda: client.variation_detail("asked", "user-1").stale))


def test_log_handler__asks_on_demand__as_the_first_question_fails(handler: Asking) -> None:
    client = FlagShip(KEY, "http://127.0.0.1:9", mode="on_demand", close_wait_seconds=0.1)
    handler.ask = lambda: client.is_enabled("asked", "host")
    assert _within(lambda: client.is_enabled("asked", "user-1")) is False
    assert handler.asked


def test_on_demand__no_time_to_be_ready__costs_the_next_call_nothing(platform: SmallPlatform) -> None:
    with FlagShip(KEY, platform.url, mode="on_demand", close_wait_seconds=60) as client:
        assert client.ready(0) == "nothing"
        assert not client.wait_until_ready(0)
        assert client.is_enabled("asked", "user-1")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal.")
def test_on_demand__closed_by_a_signals_handler_while_it_flushes__ends() -> None:
    server = Endpoints(flag())
    client = FlagShip(SERVER_KEY, server.url, mode="on_demand", close_wait_seconds=0.1)
    assert client.is_enabled("asked", "user-1")
    server.always["/api/events/exposure"] = silent
    before = signal.signal(signal.SIGALRM, lambda *_: client.close())
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        assert not client.flush(2)
    finally:
        signal.signal(signal.SIGALRM, before)
        server.close()
    assert client.status().connection == "closed"


def test_async_listener__starts_a_task_and_returns_it__is_no_fault(
    platform: SmallPlatform, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[frozenset[str] | None] = []

    async def hear(keys: frozenset[str] | None) -> None:
        heard.append(keys)

    async def scenario() -> None:
        async with AsyncFlagShip(KEY, platform.url, **FAST) as client:
            client.on_change(lambda keys: asyncio.ensure_future(hear(keys)))
            await eventually_async(lambda: client.status().connection == "streaming")
            platform.change(treatment(enabled=False))
            await eventually_async(lambda: heard)

    asyncio.run(scenario())
    assert "failed" not in caplog.text


def test_async_client__asked_while_its_loop_ends__starts_nothing_there(
    platform: SmallPlatform, caplog: pytest.LogCaptureFixture
) -> None:
    client = AsyncFlagShip(KEY, platform.url, **FAST)
    answers: list[bool] = []

    async def roll_back() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.05)
            answers.append(client.is_enabled("asked", "user-1"))

    async def scenario() -> asyncio.Task[None]:
        await client.start()
        task = asyncio.ensure_future(roll_back())
        await asyncio.sleep(0)
        return task

    asyncio.run(scenario())
    gc.collect()
    assert answers == [True]
    assert "pending" not in caplog.text
    asyncio.run(client.close())


def test_async_client__its_loop_ends_just_after_its_start__ends_with_it(platform: SmallPlatform) -> None:
    """`wait_for` would swallow the one cancellation that `asyncio.run` makes."""

    async def scenario(turns: int) -> None:
        await AsyncFlagShip(KEY, platform.url, **FAST).start()
        for _ in range(turns):
            await asyncio.sleep(0)

    for turns in (0, 1, 1, 2, 2, 3):
        _within(lambda turns=turns: asyncio.run(scenario(turns)))


@pytest.mark.parametrize("is_closed", [False, True])
def test_async_client__left_a_stopped_loop__has_no_task_there_once_it_runs_again(
    platform: SmallPlatform, is_closed: bool
) -> None:
    client = AsyncFlagShip(KEY, platform.url, **FAST)
    stopped = asyncio.new_event_loop()

    def left() -> list[str]:
        return [task.get_name() for task in asyncio.all_tasks(stopped) if "openflagship" in task.get_name()]

    async def empty() -> None:
        await eventually_async(lambda: not left())

    async def move() -> None:
        await client.start()

    stopped.run_until_complete(client.start())
    asyncio.run(client.close() if is_closed else move())
    assert left()
    stopped.run_until_complete(empty())
    stopped.close()
    asyncio.run(client.close())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no /dev/stdout.")
def test_file_sink__to_a_pipe__writes() -> None:
    found = subprocess.run([sys.executable, "-c", _TO_A_PIPE], capture_output=True, text=True, timeout=60, check=False)
    assert (found.stdout, found.stderr) == ('{"kind":"exposure","event":{"number":1}}\n', "")
