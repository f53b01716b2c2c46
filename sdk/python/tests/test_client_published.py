"""A snapshot that was published in object storage: clients and edges begin with it while the platform is away."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from documents import snapshot
from edge_process import CLIENT_KEY, EdgeThread
from openflagship import AsyncFlagShip, FlagShip
from openflagship.client import FileStore
from openflagship.client.following.configuration import Proof
from openflagship.client.snapshots.copies import write_copy
from openflagship.edge import EdgeEnvironment, EdgeSettings
from sdk_fixtures import FAST, treatment
from small_platform import KEY, SmallPlatform, eventually, free_port

SECRET = "fs_sign_good"
NOBODY = "http://127.0.0.1:9"
GONE = {**FAST, "start_wait_seconds": 0, "close_wait_seconds": 0.05, "connect_seconds": 1.0}


def published(version: int = 7, secret: str = SECRET, age: float = 0.0) -> bytes:
    body = json.dumps({**snapshot(treatment()), "version": version}).encode()
    signature = f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
    return write_copy("", Proof(body, (signature,)), "", time.time() - age)


class Storage:
    """Objects by their path; a path without one is answered 404."""

    def __init__(self) -> None:
        objects: dict[str, bytes] = {}
        self.objects = objects
        self.asked: list[str] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                found = objects.get(self.path)
                self.send_response(404 if found is None else 200)
                self.send_header("Content-Length", str(len(found or b"")))
                self.end_headers()
                self.wfile.write(found or b"")

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def storage() -> Iterator[Storage]:
    found = Storage()
    yield found
    found.close()


def begun(storage: Storage, path: str = "/acme/web/production.json", **settings: Any) -> tuple[str, int]:
    """Where a client begins whose platform is away."""
    with FlagShip(KEY, NOBODY, snapshot_url=storage.url + path, **{**GONE, **settings}) as client:
        status = client.status()
        return status.source, status.config_version


def test_snapshot_url__while_the_platform_is_away__is_where_a_client_begins(storage: Storage) -> None:
    storage.objects["/acme/web/production.json?signed=1"] = published(age=500)
    url = f"{storage.url}/acme/web/production.json?signed=1"
    with FlagShip(KEY, NOBODY, snapshot_url=url, signing_secret=SECRET, **GONE) as client:
        assert client.ready(0) == "store"
        assert client.boolean("asked", "user-1", False) is True
        status = client.status()
        assert (status.config_version, status.is_stale) == (7, True)

    async def start() -> tuple[str, int]:
        async with AsyncFlagShip(KEY, NOBODY, snapshot_url=url, signing_secret=SECRET, **GONE) as client:
            return client.status().source, client.status().config_version

    assert asyncio.run(start()) == ("stored", 7)


@pytest.mark.parametrize(
    "content",
    [published(secret="fs_sign_other"), published().replace(b"treatment", b"changed-x"), b"no JSON", None],
    ids=["other secret", "altered", "garbage", "absent"],
)
def test_snapshot_url__what_cannot_be_trusted__is_not_taken(storage: Storage, content: bytes | None) -> None:
    if content is not None:
        storage.objects["/acme/web/production.json"] = content

    assert begun(storage, signing_secret=SECRET)[0] == ""


def test_snapshot_url__earlier_than_what_is_known__is_not_taken(storage: Storage, tmp_path: Path) -> None:
    FileStore(tmp_path / "kept.json").save(published(version=9), 9)
    for version, wanted in ((8, 9), (10, 10)):
        storage.objects["/acme/web/production.json"] = published(version=version)
        assert begun(storage, signing_secret=SECRET, snapshot_path=tmp_path / "kept.json") == ("stored", wanted)


def test_snapshot_url__that_names_no_object__is_refused() -> None:
    for url in ("https://bucket.example.com", "ftp://bucket.example.com/a.json", "https://bucket.example.com/a#b"):
        with pytest.raises(ValueError, match=r"snapshot_url|address"):
            FlagShip(KEY, NOBODY, snapshot_url=url)


def test_snapshot_url__that_anybody_on_the_way_may_alter__is_refused() -> None:
    with pytest.raises(ValueError, match="plain HTTP"):
        FlagShip(KEY, NOBODY, snapshot_url="http://bucket.example.com/a.json")


def test_snapshot_url__of_an_offline_client__is_not_asked(storage: Storage) -> None:
    storage.objects["/acme/web/production.json"] = published()

    assert begun(storage, signing_secret=SECRET, is_offline=True)[0] == ""
    assert storage.asked == []


def test_edge__with_published_snapshots__begins_each_environment_with_its_own(
    storage: Storage, run_edge: Callable[..., EdgeThread]
) -> None:
    storage.objects["/acme/web/production.json"] = published(version=3)
    one = EdgeEnvironment(server_key=KEY, client_keys=(CLIENT_KEY,), signing_secret=SECRET, name="web/production")
    edge = run_edge(NOBODY, one, snapshot_url=f"{storage.url}/acme/{{name}}.json")

    eventually(edge.is_ready)
    status, answer, _ = edge.ask("POST", "/api/evaluate", {"flagKey": "asked", "userId": "user-1"}, key=CLIENT_KEY)
    assert (status, answer["variant"], storage.asked[0]) == (200, "treatment", "/acme/web/production.json")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"FLAGSHIP_EDGE_KEYS": "fs_server_a,fs_server_b"}, r"Write \{name\}"),
        ({"FLAGSHIP_EDGE_CREDENTIAL": "fs_edge_a"}, r"Write \{name\}"),
        ({"FLAGSHIP_EDGE_KEYS": "fs_server_a", "FLAGSHIP_EDGE_SNAPSHOT_URL": "https://b/{name}"}, "give each"),
    ],
    ids=["keys", "credential", "no name"],
)
def test_edge__a_published_snapshot_for_nobody_in_particular__is_refused(more: dict[str, str], said: str) -> None:
    given = {"FLAGSHIP_EDGE_URL": NOBODY, "FLAGSHIP_EDGE_SNAPSHOT_URL": "https://b.example.com/a.json", **more}
    with pytest.raises(ValueError, match=said):
        EdgeSettings.from_environ(given)


def test_platform__once_it_answers__goes_before_what_was_published(storage: Storage, platform: SmallPlatform) -> None:
    storage.objects["/acme/web/production.json"] = published(version=1)
    platform.version, platform.secret = 5, SECRET
    settings = {**FAST, "snapshot_url": f"{storage.url}/acme/web/production.json", "signing_secret": SECRET}
    with FlagShip(KEY, platform.url, **settings) as client:
        eventually(lambda: client.status().config_version == 5)
        assert client.status().source == "server"
