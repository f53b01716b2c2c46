"""The threaded client against a platform on a real socket: start, follow, fall back, come back."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from documents import snapshot
from openflagship import Context, FlagShip
from openflagship.client import MemoryStore
from sdk_fixtures import FAST, treatment
from small_platform import KEY, SmallPlatform, eventually

Connect = Callable[..., FlagShip]


def test_client__five_lines__evaluate_a_flag(platform: SmallPlatform) -> None:
    with FlagShip(KEY, platform.url, start_wait_seconds=60) as client:
        assert client.is_enabled("asked", "user-1", {"country": "DE"})
        assert client.variation("asked", Context("user-1"), False) is True
        assert client.variation_detail("asked", {"userId": "user-1"}).variant == "treatment"
        assert client.all_flags("user-1") == {"asked": True}


def test_client__a_change__is_applied_and_acknowledged(platform: SmallPlatform, connect: Connect) -> None:
    client = connect()
    eventually(lambda: client.status().connection == "streaming")
    platform.change(treatment(enabled=False))
    eventually(lambda: not client.is_enabled("asked", "user-1"))
    eventually(lambda: platform.acknowledged and platform.acknowledged[-1]["version"] == 2)

    assert platform.acknowledged[-1]["instance"] == client.instance
    assert client.status().config_version == 2


def test_client__closed__says_goodbye_once(platform: SmallPlatform, connect: Connect) -> None:
    client = connect()
    eventually(lambda: platform.acknowledged)
    client.close()
    client.close()

    assert [said.get("goodbye", False) for said in platform.acknowledged] == [False, True]
    assert {said["instance"] for said in platform.acknowledged} == {client.instance}


def test_client__stream_breaks_while_flags_change__catches_up_by_its_last_id(
    platform: SmallPlatform, connect: Connect
) -> None:
    client = connect(poll_after_seconds=3600)
    eventually(lambda: client.status().connection == "streaming")
    platform.fail["/api/stream"] = 503
    platform.end_streams()
    eventually(lambda: client.status().connection != "streaming")
    platform.change(treatment(enabled=False))
    del platform.fail["/api/stream"]
    eventually(lambda: not client.is_enabled("asked", "user-1"))

    last = [headers.get("last-event-id") for _, path, headers in platform.asked if path == "/api/stream"]
    assert last[0] == "1"
    assert len([path for _, path, _ in platform.asked if path == "/api/snapshot"]) == 1


def test_client__no_stream_for_long__polls_with_its_etag_and_goes_back(
    platform: SmallPlatform, connect: Connect
) -> None:
    platform.is_streaming = False
    client = connect(poll_seconds=0.05, poll_after_seconds=0.1)
    eventually(lambda: client.status().connection == "polling")
    platform.version = 2
    platform.flags = {"asked": treatment(enabled=False)}
    eventually(lambda: not client.is_enabled("asked", "user-1"))
    asked = [headers for _, path, headers in platform.asked if path == "/api/snapshot"]
    platform.is_streaming = True
    eventually(lambda: client.status().connection == "streaming")

    assert "if-none-match" not in asked[0]
    assert "if-none-match" in asked[1]


def test_client__platform_away_and_back__serves_what_it_had_marks_it_stale_and_recovers(connect: Connect) -> None:
    platform = SmallPlatform(treatment())
    client = connect(url=platform.url, stale_after_seconds=0.3)
    eventually(lambda: client.status().connection == "streaming")
    platform.stop()
    eventually(lambda: client.variation_detail("asked", "user-1").stale)
    assert client.is_enabled("asked", "user-1")
    platform.change(treatment(enabled=False))
    platform.start()
    eventually(lambda: not client.is_enabled("asked", "user-1"))

    eventually(lambda: not client.variation_detail("asked", "user-1").stale)
    eventually(lambda: client.status().error is None)
    client.close()
    platform.close()


def test_client__no_platform_at_all__gives_defaults_and_says_why(connect: Connect, platform: SmallPlatform) -> None:
    platform.stop()
    client = connect(start_wait_seconds=0.05, close_wait_seconds=0.05)
    answer = client.variation_detail("asked", "user-1", "default")

    assert (answer.value, answer.reason, answer.error_code, answer.detail) == (
        "default", "ERROR", "FLAG_NOT_FOUND", "not_ready",
    )  # fmt: skip
    assert client.is_enabled("asked", "user-1", default=True)
    eventually(lambda: client.status().error)
    assert not client.status().is_ready


def test_client__wrong_key__says_it_is_refused(platform: SmallPlatform) -> None:
    with FlagShip("fs_server_wrong", platform.url, **{**FAST, "start_wait_seconds": 0.05}) as client:
        eventually(lambda: client.status().connection == "refused")
        assert "401" in (client.status().error or "")


def test_client__nonsense_on_the_stream__fetches_the_whole_again(platform: SmallPlatform, connect: Connect) -> None:
    client = connect()
    eventually(lambda: platform.stream_count == 1)
    platform.version, platform.flags = 9, {"asked": treatment(enabled=False)}
    platform.say(b"id: 9\nevent: flag_updated\ndata: {broken\n\n")
    eventually(lambda: not client.is_enabled("asked", "user-1"))

    assert client.status().config_version == 9


def test_client__kept_snapshot__serves_a_start_without_the_platform(
    platform: SmallPlatform, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "kept" / "snapshot.json"
    first = connect(snapshot_path=path)
    eventually(path.exists)
    first.close()
    platform.stop()
    old = path.stat().st_mtime - 3600
    os.utime(path, (old, old))
    second = connect(snapshot_path=path, close_wait_seconds=0.05)
    answer = second.variation_detail("asked", "user-1", False)

    assert (answer.value, answer.stale, second.status().source) == (True, True, "stored")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in path.parent.iterdir()] == ["snapshot.json"]


def test_client__kept_snapshot_that_is_broken__starts_empty(
    platform: SmallPlatform, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "snapshot.json"
    path.write_text('{"contract": 1, "vers')
    client = connect(snapshot_path=path)

    assert client.is_enabled("asked", "user-1")
    eventually(lambda: json.loads(path.read_bytes() or b"0") if path.read_text().endswith("}") else None)


def test_client__shared_store__serves_the_next_client(platform: SmallPlatform, connect: Connect) -> None:
    store = MemoryStore()
    connect(store=store)
    eventually(store.load)
    platform.stop()

    assert connect(store=store, close_wait_seconds=0.05).is_enabled("asked", "user-1")


def test_client__offline_with_a_bootstrap__asks_nobody_and_is_never_stale(platform: SmallPlatform) -> None:
    client = FlagShip("", platform.url, bootstrap=snapshot(treatment()), is_offline=True)
    client.track("purchase", "user-1")
    answer = client.variation_detail("asked", "user-1")
    client.close()

    assert (answer.value, answer.stale, client.status().events_pending) == (True, False, 0)
    assert platform.asked == []


@pytest.mark.parametrize(
    "settings",
    [{"bootstrap": {"no": "snapshot"}}, {"poll_seconds": 0}, {"most_events": 0}, {"stream_url": "nowhere"}],
)
def test_client__settings_that_cannot_work__are_refused_at_once(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the messages are the settings' own
        FlagShip("fs_server_x", "http://127.0.0.1:9", is_offline=True, **settings)


def test_client__secret_given__takes_signed_snapshots_only(platform: SmallPlatform, connect: Connect) -> None:
    platform.secret = "good"
    client = connect(signing_secret="good")
    eventually(lambda: platform.stream_count == 1)
    platform.change(treatment(enabled=False))
    eventually(lambda: not client.is_enabled("asked", "user-1"))
    platform.secret = "forged"
    platform.change(treatment())
    eventually(lambda: "signature" in (client.status().error or ""))

    assert not client.is_enabled("asked", "user-1")
    assert client.status().config_version == 2


def test_client__secret_given__a_signed_snapshot_on_the_stream_needs_no_fetch(
    platform: SmallPlatform, connect: Connect
) -> None:
    platform.secret = "good"
    client = connect(signing_secret="good")
    eventually(lambda: platform.stream_count == 1)
    fetched = _fetches(platform)
    platform.say(_event(_body(5, enabled=False), "other", "good"))
    eventually(lambda: client.status().config_version == 5)

    assert not client.is_enabled("asked", "user-1")
    assert _fetches(platform) == fetched


@pytest.mark.parametrize(("version", "secrets"), [(5, ["forged"]), (5, []), (0, ["good"])])
def test_client__secret_given__a_snapshot_on_the_stream_that_proves_nothing_is_fetched_instead(
    platform: SmallPlatform, connect: Connect, version: int, secrets: list[str]
) -> None:
    platform.secret = "good"
    client = connect(signing_secret="good")
    eventually(lambda: platform.stream_count == 1)
    fetched = _fetches(platform)
    platform.say(_event(_body(version, enabled=False), *secrets))
    eventually(lambda: _fetches(platform) > fetched)

    assert client.is_enabled("asked", "user-1")
    assert client.status().config_version == 1


def _body(version: int, **flag: Any) -> str:
    return json.dumps({**snapshot(treatment(**flag)), "version": version})


def _event(body: str, *secrets: str) -> bytes:
    """A snapshot on the stream, signed with each of the secrets."""
    signatures = [hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest() for secret in secrets]
    signed = "".join(f"signature: sha256={signature}\n" for signature in signatures)
    return f"id: {json.loads(body)['version']}\n{signed}event: snapshot\ndata: {body}\n\n".encode()


def _fetches(platform: SmallPlatform) -> int:
    return sum(path == "/api/snapshot" for _, path, _ in platform.asked)


def test_client__listener__hears_which_flags_changed(platform: SmallPlatform, connect: Connect) -> None:
    client = connect()
    heard: list[frozenset[str] | None] = []
    client.on_change(heard.append)
    eventually(lambda: platform.stream_count == 1)
    platform.change(treatment("another"))
    eventually(lambda: heard)

    assert heard == [frozenset({"another"})]


def test_client__misuse__never_raises(platform: SmallPlatform, connect: Connect) -> None:
    client = connect()
    calls: list[Callable[[], Any]] = [
        lambda: client.is_enabled(None),  # type: ignore[arg-type]  # misuse is the point
        lambda: client.variation("asked", object(), "default"),  # type: ignore[arg-type]  # as above
        lambda: client.variation([], {"userId": {}}, "default"),  # type: ignore[arg-type]  # as above
        lambda: client.all_flags(3, keys=[None, "asked"]),  # type: ignore[list-item, arg-type]  # as above
        lambda: client.track("", ""),
        lambda: client.track("e", "u", float("nan")),
        lambda: client.track("e", "u", "much"),  # type: ignore[arg-type]  # as above
        lambda: client.track("e", "u", 1.0, {"a": object()}),
    ]
    for call in calls:
        call()
    assert client.flush(60)
    assert [event["eventName"] for event in platform.conversions()] == []
