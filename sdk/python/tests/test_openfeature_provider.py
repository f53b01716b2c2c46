"""The provider against a platform: events, readiness, tracking, domains, and every answer the client's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent
from openfeature.provider import ProviderStatus
from openfeature.track import TrackingEventDetails
from openflagship import AsyncFlagShip, FlagShip
from openflagship.engine import Context
from openflagship.openfeature import FlagShipProvider
from sdk_fixtures import FAST, treatment
from small_platform import KEY, SmallPlatform, eventually

Connect = Callable[..., FlagShip]
USER = EvaluationContext("user-1")


@pytest.fixture(autouse=True)
def no_providers() -> Iterator[None]:
    yield
    api.shutdown()
    api.clear_providers()


def listen(client: Any) -> list[tuple[ProviderEvent, list[str] | None]]:
    heard: list[tuple[ProviderEvent, list[str] | None]] = []
    for event in ProviderEvent:
        client.add_handler(event, lambda details, event=event: heard.append((event, details.flags_changed)))
    return heard


def test_provider__its_life__is_told_in_events(connect: Connect) -> None:
    platform = SmallPlatform(treatment())
    api.set_provider_and_wait(FlagShipProvider(connect(url=platform.url, stale_after_seconds=0.2)))
    client = api.get_client()
    heard = listen(client)
    eventually(lambda: platform.stream_count == 1)
    platform.change(treatment(enabled=False))
    eventually(lambda: (ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, ["asked"]) in heard)
    platform.stop()
    eventually(lambda: client.get_provider_status() == ProviderStatus.STALE)
    eventually(lambda: (ProviderEvent.PROVIDER_STALE, None) in heard)
    stale = client.get_boolean_details("asked", True, USER)
    # OpenFeature calls handlers from a pool of threads: the first `ready` may come as late as it likes.
    eventually(lambda: (ProviderEvent.PROVIDER_READY, None) in heard)
    before = heard.count((ProviderEvent.PROVIDER_READY, None))
    platform.start()
    eventually(lambda: client.get_provider_status() == ProviderStatus.READY)
    eventually(lambda: heard.count((ProviderEvent.PROVIDER_READY, None)) > before)

    assert (stale.value, stale.reason) == (False, "STALE")
    api.shutdown()
    platform.close()


def test_provider__key_revoked_while_running__is_fatal_until_it_works_again(
    connect: Connect, platform: SmallPlatform
) -> None:
    provider = FlagShipProvider(connect(stale_after_seconds=0.3))
    api.set_provider_and_wait(provider)
    client = api.get_client()
    eventually(lambda: platform.stream_count == 1)
    platform.fail = {"/api/snapshot": 401, "/api/stream": 401}
    platform.end_streams()
    eventually(lambda: client.get_provider_status() == ProviderStatus.FATAL)
    eventually(lambda: provider.client.environment.stale)
    assert client.get_provider_status() == ProviderStatus.FATAL
    assert client.get_boolean_details("asked", False, USER).error_code == "PROVIDER_FATAL"
    platform.fail = {}

    eventually(lambda: client.get_provider_status() == ProviderStatus.READY)


def test_provider__platform_comes_later__becomes_ready_by_itself(connect: Connect, platform: SmallPlatform) -> None:
    platform.fail["/api/snapshot"] = 503
    provider = FlagShipProvider(connect(start_wait_seconds=0), ready_wait_seconds=0.1)
    api.set_provider(provider, "late")
    client = api.get_client("late")
    eventually(lambda: client.get_provider_status() == ProviderStatus.ERROR)
    early = client.get_boolean_details("asked", False, USER)
    del platform.fail["/api/snapshot"]
    eventually(lambda: client.get_provider_status() == ProviderStatus.READY)

    assert (early.value, early.error_code, early.reason) == (False, "PROVIDER_NOT_READY", "ERROR")
    assert client.get_boolean_value("asked", False, USER) is True


def test_provider__configuration_comes_as_the_wait_ends__is_ready(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect()
    monkeypatch.setattr(client, "wait_until_ready", lambda _seconds: False)
    api.set_provider_and_wait(FlagShipProvider(client), "late")

    assert api.get_client("late").get_provider_status() == ProviderStatus.READY


def test_provider__refused_key__is_fatal(platform: SmallPlatform) -> None:
    client = FlagShip("fs_server_wrong", platform.url, **{**FAST, "start_wait_seconds": 0})
    eventually(lambda: client.status().connection == "refused")
    heard = listen(api.get_client("refused"))
    api.set_provider(FlagShipProvider(client, ready_wait_seconds=0.05), "refused")

    eventually(lambda: api.get_client("refused").get_provider_status() == ProviderStatus.FATAL)
    eventually(lambda: ProviderEvent.PROVIDER_ERROR in [event for event, _ in heard])
    client.close()


def test_provider__track__is_a_conversion_of_the_targeting_key(connect: Connect, platform: SmallPlatform) -> None:
    client = connect()
    api.set_provider_and_wait(FlagShipProvider(client))
    when = datetime(2026, 5, 1, 12, tzinfo=UTC)
    api.get_client().track("purchase", USER, TrackingEventDetails(9.5, {"currency": "EUR", "at": when}))
    assert client.flush(60)
    event = platform.conversions()[0]

    assert (event["eventName"], event["userId"], event["value"]) == ("purchase", "user-1", 9.5)
    assert event["properties"] == {"currency": "EUR", "at": "2026-05-01T12:00:00+00:00"}


def test_provider__domains__have_environments_of_their_own(connect: Connect, platform: SmallPlatform) -> None:
    other = SmallPlatform(treatment(enabled=False))
    api.set_provider_and_wait(FlagShipProvider(connect()), "web")
    api.set_provider_and_wait(FlagShipProvider(connect(url=other.url)), "batch")

    assert api.get_client("web").get_boolean_value("asked", False, USER) is True
    assert api.get_client("batch").get_boolean_value("asked", True, USER) is False
    api.shutdown()
    other.close()


def test_provider__shutdown__sends_what_waits(platform: SmallPlatform) -> None:
    client = FlagShip(KEY, platform.url, **{**FAST, "flush_seconds": 3600})
    api.set_provider_and_wait(FlagShipProvider(client))
    api.get_client().get_boolean_value("asked", False, USER)
    api.shutdown()

    assert client.status().connection == "closed"
    assert len(platform.exposures()) == 1


def test_provider__thousands_of_pairs__answers_as_the_engine(connect: Connect, platform: SmallPlatform) -> None:
    platform.flags = {"asked": treatment(), "half": treatment("half", allocation=[[0, 5000, "treatment"]])}
    client = connect()
    api.set_provider_and_wait(FlagShipProvider(client))
    evaluate = api.get_client().get_boolean_details
    for number in range(1_000):
        for key in ("asked", "half"):
            expected = client.environment.evaluate(key, Context(f"user-{number}"), False)
            details = evaluate(key, False, EvaluationContext(f"user-{number}"))
            assert (details.value, details.variant, str(details.reason)) == (
                expected.value, expected.variant, expected.openfeature_reason,
            )  # fmt: skip


def test_provider__over_the_asyncio_client__answers_on_the_loop(platform: SmallPlatform) -> None:
    async def scenario() -> None:
        async with AsyncFlagShip(KEY, platform.url, **FAST) as client:
            api.set_provider_and_wait(FlagShipProvider(client), "loop")
            details = await api.get_client("loop").get_boolean_details_async("asked", False, USER)
            assert (details.value, details.reason) == (True, "SPLIT")

    asyncio.run(scenario())
