"""Exposures and conversions from the call to the platform: once, bounded, and not lost."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from openflagship import FlagShip
from openflagship.engine import Context
from sdk_fixtures import FAST, treatment
from small_platform import KEY, SmallPlatform, eventually

Connect = Callable[..., FlagShip]


def test_exposures__repeats_within_a_window__are_one(platform: SmallPlatform, connect: Connect) -> None:
    client = connect(flush_seconds=3600)
    for _ in range(50):
        client.is_enabled("asked", "user-1")
        client.is_enabled("asked", "user-2")
    assert client.flush(60)

    assert sorted(event["userId"] for event in platform.exposures()) == ["user-1", "user-2"]
    first = platform.exposures()[0]
    assert {**first, "evaluationId": "", "timestamp": ""} == {
        "evaluationId": "", "flagKey": "asked", "userId": "user-1", "variant": "treatment", "timestamp": "",
        "source": "sdk-python", "reason": "ROLLOUT", "configVersion": 1,
    }  # fmt: skip
    assert UUID(first["evaluationId"]).version == 7


def test_exposures__the_next_window_and_the_next_version__are_told_again(
    platform: SmallPlatform, connect: Connect
) -> None:
    client = connect(flush_seconds=0.05)
    client.is_enabled("asked", "user-1")
    eventually(lambda: len(platform.exposures()) == 1)
    eventually(lambda: client.is_enabled("asked", "user-1") and len(platform.exposures()) >= 2)
    platform.change(treatment(name="renamed"))
    eventually(lambda: client.status().config_version == 2)
    eventually(lambda: client.is_enabled("asked", "user-1") and platform.exposures()[-1]["configVersion"] == 2)


def test_exposures__nobody_and_an_attribute_as_unit__follow_the_contract(connect: Connect) -> None:
    platform = SmallPlatform(treatment(), treatment("by-device", bucketBy="deviceId"))
    client = connect(url=platform.url)
    client.is_enabled("asked", None)
    client.is_enabled("asked", "")
    client.is_enabled("unknown", "user-1")
    client.all_flags("user-1")
    client.is_enabled("by-device", "user-1", {"deviceId": "device-9"})
    assert client.flush(60)

    assert [(event["flagKey"], event["userId"]) for event in platform.exposures()] == [("by-device", "device-9")]
    client.close()
    platform.close()


def test_exposures__a_full_batch__goes_before_its_time(platform: SmallPlatform, connect: Connect) -> None:
    client = connect(flush_seconds=3600, flush_count=10)
    for number in range(10):
        client.is_enabled("asked", f"user-{number}")

    eventually(lambda: len(platform.exposures()) == 10)


def test_track__a_conversion__arrives_whole(platform: SmallPlatform, connect: Connect) -> None:
    client = connect()
    client.track("purchase", "user-1", 12.5, {"currency": "EUR"})
    client.track("signup", Context("user-2"))
    assert client.flush(60)
    first, second = platform.conversions()

    assert (first["eventName"], first["userId"], first["value"]) == ("purchase", "user-1", 12.5)
    assert first["properties"] == {"currency": "EUR"}
    assert "value" not in second
    assert first["id"] != second["id"]


def test_events__platform_fails_for_a_while__arrive_once_under_the_same_ids(
    platform: SmallPlatform, connect: Connect
) -> None:
    platform.fail["/api/events/exposure"] = 503
    client = connect(flush_count=5)
    for number in range(20):
        client.is_enabled("asked", f"user-{number}")
    eventually(lambda: client.status().is_breaker_open)
    eventually(lambda: client.status().events_pending == 20)
    del platform.fail["/api/events/exposure"]
    eventually(lambda: client.status().events_sent == 20)

    assert len({event["evaluationId"] for event in platform.exposures()}) == 20
    assert len(platform.exposures()) == 20
    assert not client.status().is_breaker_open


def test_events__refused_as_too_large__are_sent_in_halves_and_one_that_stays_too_large_is_dropped(
    platform: SmallPlatform, connect: Connect
) -> None:
    platform.fail["/api/events/exposure"] = 413
    client = connect(flush_seconds=3600)
    for number in range(8):
        client.is_enabled("asked", f"user-{number}")
    assert client.flush(60)

    assert (client.status().events_lost, client.status().events_pending) == (8, 0)
    assert len([path for _, path, _ in platform.asked if path == "/api/events/exposure"]) == 15


def test_events__more_than_memory_may_hold__are_dropped_and_counted(platform: SmallPlatform, connect: Connect) -> None:
    platform.fail["/api/events/exposure"] = 503
    client = connect(most_events=100, close_wait_seconds=0.05)
    for number in range(10_000):
        client.is_enabled("asked", f"user-{number}")

    # One that the sender has in its hands at that moment is counted nowhere.
    eventually(lambda: (status := client.status()).events_pending + status.events_dropped == 10_000)
    assert client.status().events_dropped >= 9_700
    assert len(client._queue.seen) <= 300


def test_exposures__repeats_while_the_platform_is_away__take_no_room(platform: SmallPlatform, connect: Connect) -> None:
    platform.fail["/api/events/exposure"] = 503
    client = connect()

    def has_failed_for_some_windows() -> bool:
        client.is_enabled("asked", "user-1")
        return [path for _, path, _ in platform.asked].count("/api/events/exposure") > 8

    eventually(has_failed_for_some_windows)
    # One of the window that could not be sent, and one of the window after it, however long that lasts.
    assert client.status().events_pending <= 2
    del platform.fail["/api/events/exposure"]
    eventually(lambda: client.status().events_pending == 0)


def test_before_send__may_change_drop_and_fail(platform: SmallPlatform, connect: Connect) -> None:
    def hook(event: dict[str, Any]) -> dict[str, Any] | None:
        if event["userId"] == "drop":
            return None
        if event["userId"] == "fail":
            raise ZeroDivisionError
        return {**event, "userId": "changed"}

    client = connect(before_send=hook)
    for user in ("drop", "fail", "keep"):
        client.track("purchase", user)
    assert client.flush(60)

    assert [event["userId"] for event in platform.conversions()] == ["changed"]


def test_before_send__drops_more_than_are_sent_at_once__what_waits_behind_them_is_sent_too(
    platform: SmallPlatform, connect: Connect
) -> None:
    client = connect(flush_seconds=3600, before_send=lambda event: event if event["userId"] == "keep" else None)
    for user in (*["drop"] * 1_500, "keep"):
        client.track("purchase", user)
    assert client.flush(60)

    assert [event["userId"] for event in platform.conversions()] == ["keep"]
    assert client.status().events_pending == 0


def test_events__come_while_others_are_sent__wait_for_the_next_turn(platform: SmallPlatform, connect: Connect) -> None:
    def hook(event: dict[str, Any]) -> dict[str, Any]:
        if event["userId"] == "user-0":
            client.track("purchase", "later")
        return event

    client = connect(flush_seconds=3600, flush_count=10, before_send=hook)
    for number in range(10):
        client.track("purchase", f"user-{number}")
    eventually(lambda: len(platform.conversions()) == 10 and not client._sender._waiting)

    assert client.status().events_pending == 1
    assert client.flush(60)
    assert len(platform.conversions()) == 11


def test_hash_key__given__user_ids_leave_hashed_and_still_join(platform: SmallPlatform, connect: Connect) -> None:
    client = connect(hash_key="pepper")
    client.is_enabled("asked", "alice@example.com")
    client.track("purchase", "alice@example.com")
    assert client.flush(60)
    ids = {event["userId"] for event in platform.events}

    assert len(platform.events) == 2
    assert len(ids) == 1
    assert "alice" not in ids.pop()


def test_close__with_events_waiting__loses_none(platform: SmallPlatform) -> None:
    client = FlagShip(KEY, platform.url, **{**FAST, "flush_seconds": 3600, "flush_count": 10_000})
    for number in range(5_000):
        client.is_enabled("asked", f"user-{number}")
        client.track("purchase", f"user-{number}")
    client.close()
    client.close()

    assert (len(platform.exposures()), len(platform.conversions())) == (5_000, 5_000)
    assert client.status().connection == "closed"
    assert client.is_enabled("asked", "user-1")


def test_exit__without_close__sends_what_waits(platform: SmallPlatform, tmp_path: Path) -> None:
    script = tmp_path / "service.py"
    script.write_text(
        textwrap.dedent(
            f"""
            from openflagship import FlagShip
            client = FlagShip(
                {KEY!r}, {platform.url!r}, flush_seconds=3600, start_wait_seconds=60, close_wait_seconds=60
            )
            client.is_enabled("asked", "user-1")
            client.track("purchase", "user-1")
            """
        )
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=150, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(platform.events) == 2
