"""What a store keeps: with its signature, for one key, and refused where it was altered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openflagship import FlagShip
from openflagship.client import FileStore, MemoryStore, RedisStore, SnapshotStore
from openflagship.client.snapshots.copies import read_copy
from openflagship.client.transport.effects import Pause
from sdk_fixtures import FAST, treatment
from small_platform import KEY, SmallPlatform, eventually
from test_client_redis_store import server  # noqa: F401 - a fixture
from test_client_values import offline

Connect = Callable[..., FlagShip]
SECRET = "fs_sign_good"


@pytest.fixture(params=["memory", "file", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SnapshotStore:
    if request.param == "memory":
        return MemoryStore()
    if request.param == "file":
        return FileStore(tmp_path / "flags.json")
    return RedisStore(request.getfixturevalue("server"), key="copies")


def kept(store: SnapshotStore) -> dict[str, Any]:
    found = store.load()
    assert found is not None
    content: dict[str, Any] = json.loads(found[0])
    return content


def keep(store: SnapshotStore, platform: SmallPlatform, **settings: Any) -> dict[str, Any]:
    """Let a client keep what it fetched, then take the platform away."""
    platform.secret = SECRET
    with FlagShip(KEY, platform.url, store=store, **{**FAST, **settings}):
        eventually(store.load)
    platform.stop()
    return kept(store)


def source(platform: SmallPlatform, store: SnapshotStore, key: str = KEY, secret: str | None = SECRET) -> str:
    gone = {**FAST, "start_wait_seconds": 0, "close_wait_seconds": 0.05}
    with FlagShip(key, platform.url, store=store, signing_secret=secret, **gone) as client:
        return client.status().source


def test_store__while_nothing_came_from_the_server__wakes_nobody() -> None:
    pause = next(offline(treatment(), store=MemoryStore())._sender.run())

    assert isinstance(pause, Pause)
    assert pause.seconds > 1


def test_copy__signed_and_untouched__is_served_with_its_own_bytes(
    platform: SmallPlatform, store: SnapshotStore
) -> None:
    content = keep(store, platform, signing_secret=SECRET)

    assert json.loads(content["snapshot"]) == platform.document()
    assert content["signatures"]
    assert KEY not in json.dumps(content)
    assert source(platform, store) == "stored"
    assert source(platform, store, secret=None) == "stored"


def _other_value(content: dict[str, Any]) -> None:
    content["snapshot"] = content["snapshot"].replace('"enabled": true', '"enabled": false')


def _forged(content: dict[str, Any]) -> None:
    content["signatures"] = ["sha256=" + hashlib.sha256(content["snapshot"].encode()).hexdigest()]


def _unsigned(content: dict[str, Any]) -> None:
    content["signatures"] = []


def _other_contract(content: dict[str, Any]) -> None:
    content["snapshot"] = content["snapshot"].replace('"contract": 1', '"contract": 99')


@pytest.mark.parametrize("alter", [_other_value, _forged, _unsigned, _other_contract])
def test_copy__altered__is_refused_under_a_secret(
    platform: SmallPlatform, store: SnapshotStore, alter: Callable[[dict[str, Any]], None]
) -> None:
    content = keep(store, platform, signing_secret=SECRET)
    before = json.dumps(content)
    alter(content)
    assert json.dumps(content) != before
    store.save(json.dumps(content).encode(), platform.version)

    assert source(platform, store) == ""


def test_copy__bare_or_unsigned_or_of_another_secret__is_refused_under_a_secret(platform: SmallPlatform) -> None:
    store = MemoryStore()
    keep(store, platform)
    assert source(platform, store) == ""
    store.save(json.dumps(platform.document()).encode(), platform.version)
    assert source(platform, store) == ""
    assert source(platform, store, secret=None) == "stored"


def test_copy__of_another_environments_key__is_refused(platform: SmallPlatform, store: SnapshotStore) -> None:
    keep(store, platform, signing_secret=SECRET)

    assert source(platform, store, key="fs_server_other") == ""
    assert source(platform, store, key="fs_server_other", secret=None) == ""


@pytest.mark.parametrize(
    "content", [{"snapshot": 7}, {"signatures": None}, {"snapshot": "{"}, {"snapshot": "[]"}, {"confirmedAt": "x"}]
)
def test_copy__of_nonsense__is_a_warning_and_no_exception(platform: SmallPlatform, content: dict[str, Any]) -> None:
    store = MemoryStore()
    good = keep(store, platform)
    store.save(json.dumps({**good, **content}).encode(), platform.version)

    assert source(platform, store, secret=None) == ("stored" if "confirmedAt" in content else "")


def test_copy__of_a_client_without_news__is_as_old_as_its_news(platform: SmallPlatform) -> None:
    store = MemoryStore()
    content = keep(store, platform)
    content["confirmedAt"] -= 500

    assert 500 <= read_copy(json.dumps(content).encode(), None, "").age_seconds(0.0) < 10_000


def test_stream__signed_snapshot__is_kept_with_its_signature(platform: SmallPlatform, connect: Connect) -> None:
    store = MemoryStore()
    platform.secret = SECRET
    client = connect(signing_secret=SECRET, store=store)
    eventually(lambda: client.status().connection == "streaming")
    platform.change(treatment(enabled=False))
    eventually(lambda: client.status().config_version == 2)
    client.close()

    assert json.loads(kept(store)["snapshot"])["version"] == 2
    platform.stop()
    assert source(platform, store) == "stored"
