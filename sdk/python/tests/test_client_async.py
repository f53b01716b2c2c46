"""The asyncio client: the same behaviour as the threaded one's, on the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from openflagship import AsyncFlagShip, FlagShip
from openflagship.client.transport.aio import AsyncDriver
from openflagship.client.transport.effects import Effect, Logic, Pause
from openflagship.engine import Context
from sdk_fixtures import FAST, treatment
from small_platform import KEY, SmallPlatform


async def eventually_async(check: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = asyncio.get_running_loop().time() + seconds
    while not (found := check()):
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)
    return found


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 120))  # type: ignore[arg-type]  # any awaitable that is a coroutine


def test_async_client__changes_and_events__travel(platform: SmallPlatform) -> None:
    async def scenario() -> None:
        async with AsyncFlagShip(KEY, platform.url, **FAST) as client:
            assert client.is_enabled("asked", "user-1")
            client.track("purchase", "user-1", 3)
            await eventually_async(lambda: client.status().connection == "streaming")
            platform.change(treatment(enabled=False))
            await eventually_async(lambda: not client.is_enabled("asked", "user-1"))
            await eventually_async(lambda: platform.acknowledged and platform.acknowledged[-1]["version"] == 2)
            assert await client.flush(60)
        assert {event["variant"] for event in platform.exposures()} == {"treatment", "control"}
        assert len(platform.conversions()) == 1

    run(scenario)


def test_async_client__platform_away_and_back__recovers_without_an_exception() -> None:
    async def scenario() -> None:
        platform = SmallPlatform(treatment())
        async with AsyncFlagShip(KEY, platform.url, **{**FAST, "stale_after_seconds": 0.2}) as client:
            await eventually_async(lambda: client.status().connection == "streaming")
            platform.stop()
            await eventually_async(lambda: client.variation_detail("asked", "user-1").stale)
            assert client.is_enabled("asked", "user-1")
            platform.start()
            await eventually_async(lambda: not client.variation_detail("asked", "user-1").stale)
        platform.close()

    run(scenario)


def test_async_client__no_platform__starts_within_its_time_and_closes() -> None:
    async def scenario() -> None:
        client = AsyncFlagShip(
            KEY, "http://127.0.0.1:9", **{**FAST, "start_wait_seconds": 0.1, "close_wait_seconds": 0.1}
        )
        await client.start()
        assert client.is_enabled("asked", "user-1", default=True)
        assert not await client.wait_until_ready(0.01)
        await client.close()
        assert not [task for task in asyncio.all_tasks() if "openflagship" in task.get_name()]

    run(scenario)


def test_async_driver__a_cancellation_is_swallowed__ends_all_the_same() -> None:
    """As `asyncio.wait_for` does before Python 3.12, where what it waits for is done at that very moment."""
    swallowed: list[Effect] = []

    class Swallowing(AsyncDriver):
        async def _do(self, effect: Effect) -> Any:
            try:
                return await super()._do(effect)
            except asyncio.CancelledError:
                if swallowed:
                    raise
                swallowed.append(effect)

    def logic() -> Logic[None]:
        while True:
            yield Pause(3600)

    async def scenario() -> None:
        driver = Swallowing("openflagship-test", logic, None)
        driver.start()
        await asyncio.sleep(0)
        await asyncio.wait_for(driver.stop(), 60)
        assert swallowed
        assert not driver.is_alive

    run(scenario)


def test_async_client__evaluation_from_other_threads__is_flushed(platform: SmallPlatform) -> None:
    async def scenario() -> None:
        async with AsyncFlagShip(KEY, platform.url, **{**FAST, "flush_seconds": 3600.0}) as client:

            def evaluate() -> None:
                for number in range(100):
                    client.is_enabled("asked", f"user-{number}")

            await asyncio.to_thread(evaluate)
            await eventually_async(lambda: len(platform.exposures()) == 100)

    run(scenario)


def test_async_client__keeps_its_snapshot__for_a_start_without_the_platform(
    platform: SmallPlatform, tmp_path: Path
) -> None:
    path = tmp_path / "snapshot.json"

    async def scenario() -> None:
        async with AsyncFlagShip(KEY, platform.url, snapshot_path=path, **FAST):
            await eventually_async(path.exists)
        platform.stop()
        async with AsyncFlagShip(
            KEY, platform.url, snapshot_path=path, **{**FAST, "close_wait_seconds": 0.1}
        ) as client:
            assert client.is_enabled("asked", "user-1")

    run(scenario)


def test_both_clients__the_same_pairs__the_same_answers(platform: SmallPlatform) -> None:
    rules = [
        {
            "id": "r1", "priority": 1, "variant": "control",
            "conditions": [{"attribute": "country", "operator": "equals", "value": "DE"}],
        }
    ]  # fmt: skip
    platform.change(treatment("half", allocation=[[0, 5000, "treatment"]], rules=rules))
    pairs = [
        (key, Context(f"user-{number}", {"country": ("DE", "FR", None)[number % 3]}))
        for number in range(2_000)
        for key in ("asked", "half", "unknown")
    ]

    async def scenario() -> None:
        async with AsyncFlagShip(KEY, platform.url, **FAST) as asynchronous:
            with FlagShip(KEY, platform.url, **FAST) as blocking:
                assert blocking.status().config_version == asynchronous.status().config_version == 2
                for key, context in pairs:
                    expected = blocking.environment.evaluate(key, context, False)
                    assert blocking.variation_detail(key, context, False) == expected
                    assert asynchronous.variation_detail(key, context, False) == expected

    run(scenario)
