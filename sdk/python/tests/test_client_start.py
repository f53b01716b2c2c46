"""How a client begins: which key it takes, what it says it serves from, and what holds up nobody."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from documents import snapshot
from openflagship import AsyncFlagShip, FlagShip
from openflagship.client import MemoryStore, Options
from openflagship.engine import CompiledEnvironment
from sdk_fixtures import FAST, treatment
from small_platform import KEY, SmallPlatform, eventually
from test_client_async import eventually_async, run

Connect = Callable[..., FlagShip]


@pytest.mark.parametrize(
    ("key", "kind"),
    [("fs_client_aaaa", "client key"), ("fs_manage_bbbb", "management token"), ("fs_sign_cccc", "signing secret")],
)
@pytest.mark.parametrize("make", [FlagShip, AsyncFlagShip])
def test_key__of_a_wrong_kind__is_refused_by_name(make: Callable[..., Any], key: str, kind: str) -> None:
    with pytest.raises(ValueError, match=f"{kind}.*server key") as caught:
        make(key, "http://127.0.0.1:9")

    assert key not in str(caught.value)


def test_ca_file__that_is_not_there__is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="ca_file"):
        FlagShip(KEY, "https://127.0.0.1:9", ca_file="/nowhere/ca.pem")


@pytest.mark.parametrize(
    ("settings", "mode"),
    [
        ({}, "stream"), ({"is_streaming": False}, "poll"), ({"is_offline": True}, "offline"),
        ({"mode": "offline"}, "offline"), ({"mode": "on_demand"}, "on_demand"),
    ],
)  # fmt: skip
def test_mode__any_spelling__is_one_mode(settings: dict[str, Any], mode: str) -> None:
    options = Options(**settings)

    assert (options.mode, options.is_offline, options.is_streaming) == (mode, mode == "offline", mode == "stream")


@pytest.mark.parametrize("settings", [{"mode": "sometimes"}, {"mode": "poll", "is_offline": True}])
def test_mode__that_is_none_or_two__is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="mode"):
        Options(**settings)


def test_ready__says_what_is_served_from(platform: SmallPlatform, connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    first = connect(start_wait_seconds=0, snapshot_path=path)
    assert first.ready(60) == "network"
    assert first.ready(float("nan")) == "network"
    eventually(path.exists)
    first.close()
    platform.stop()
    gone = {"url": platform.url, "start_wait_seconds": 0, "close_wait_seconds": 0.05}

    assert connect(**gone, snapshot_path=path).ready(0.01) == "store"
    assert connect(**gone, bootstrap=snapshot(treatment())).ready(0.01) == "bootstrap"
    assert connect(**gone).ready(0.01) == "nothing"
    assert FlagShip("", platform.url, mode="offline").ready(60) == "nothing"


def test_ready__key_refused__waits_no_longer(platform: SmallPlatform) -> None:
    platform.reason = "The credential is unknown, expired or revoked."
    with FlagShip("fs_server_wrong", platform.url, **{**FAST, "start_wait_seconds": 0}) as client:
        assert client.ready(600) == "nothing"
        assert platform.reason in (client.status().error or "")
        assert "fs_server_wrong" not in (client.status().error or "")


def test_async_ready__says_the_same(platform: SmallPlatform) -> None:
    async def scenario() -> None:
        client = AsyncFlagShip(KEY, platform.url, **{**FAST, "start_wait_seconds": 0})
        assert await client.ready(60) == "nothing"
        await client.start()
        assert await client.ready(60) == "network"
        await client.close()
        assert await client.ready(60) == "network"

    run(scenario)


def test_async_client__nobody_started__says_so_once(platform: SmallPlatform, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "openflagship")
    client = AsyncFlagShip(KEY, platform.url)
    assert [client.is_enabled("asked", "user-1", default=True) for _ in range(3)] == [True] * 3

    assert client.status().connection == "not_started"
    assert [record.message.count("not started") for record in caplog.records] == [1]


def test_async_client__store_and_large_configuration__are_read_off_the_loop(
    platform: SmallPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.flags = {f"flag-{number}": treatment(f"flag-{number}") for number in range(500)}
    read_by: list[int] = []
    compile_ = CompiledEnvironment.from_document

    def noting(document: Any) -> CompiledEnvironment:
        if document["flags"]:
            read_by.append(threading.get_ident())
        return compile_(document)

    class NotingStore(MemoryStore):
        def load(self) -> tuple[bytes, float] | None:
            read_by.append(threading.get_ident())
            return super().load()

    monkeypatch.setattr(CompiledEnvironment, "from_document", noting)

    async def scenario() -> None:
        async with AsyncFlagShip(
            KEY, platform.url, store=NotingStore(), bootstrap=snapshot(treatment()), **FAST
        ) as client:
            await eventually_async(lambda: client.status().flags == 500)
            await eventually_async(lambda: client.status().connection == "streaming")
            platform.version += 1
            platform.say(f"id: 3\nevent: snapshot\ndata: {json.dumps(platform.document())}\n\n".encode())
            await eventually_async(lambda: client.status().config_version == 2)

    run(scenario)
    assert len(read_by) == 4
    assert threading.get_ident() not in read_by


def test_listener__that_sleeps__holds_up_no_change(platform: SmallPlatform, connect: Connect) -> None:
    client = connect()
    is_over = threading.Event()
    heard: list[frozenset[str] | None] = []

    def listen(keys: frozenset[str] | None) -> None:
        heard.append(keys)
        is_over.wait(60)

    client.on_change(listen)
    eventually(lambda: client.status().connection == "streaming")
    platform.change(treatment("other"))
    eventually(lambda: heard)
    platform.change(treatment(killSwitchVariant="control"), "kill_switch")
    eventually(lambda: not client.is_enabled("asked", "user-1"))
    assert heard == [frozenset({"other"})]
    is_over.set()
    eventually(lambda: len(heard) == 2)

    assert heard[1] == frozenset({"asked"})


def test_on_demand__refreshes_in_a_call_and_leaves_nothing_running(platform: SmallPlatform) -> None:
    before = set(threading.enumerate())
    settings = {**FAST, "mode": "on_demand", "poll_seconds": 0.2, "close_wait_seconds": 0.05}
    client = FlagShip(KEY, platform.url, **settings)
    assert platform.asked == []
    assert client.is_enabled("asked", "user-1")
    assert client.is_enabled("asked", "user-2")
    assert [path for _, path, _ in platform.asked] == ["/api/snapshot"]
    platform.version, platform.flags = 2, {"asked": treatment(enabled=False)}
    eventually(lambda: not client.is_enabled("asked", "user-1"))
    assert {thread.name for thread in set(threading.enumerate()) - before if "openflagship" in thread.name} == set()
    assert client.flush(60)
    assert {event["userId"] for event in platform.exposures()} >= {"user-1", "user-2"}
    platform.stop()
    assert not client.refresh()
    asked = len(platform.asked)
    assert client.variation("asked", "user-1", None) is False
    client.close()

    assert len(platform.asked) == asked
    assert client.status().connection == "closed"


def test_on_demand__for_asyncio__is_refused() -> None:
    with pytest.raises(ValueError, match="on_demand"):
        AsyncFlagShip(KEY, "http://127.0.0.1:9", mode="on_demand")
