"""An edge without a server, which serves signed files."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from documents import snapshot
from edge_process import CLIENT_KEY, EdgeThread
from openflagship import FlagShip
from openflagship.client.following.configuration import Proof
from openflagship.client.keys import fingerprint_of
from openflagship.client.snapshots.copies import write_copy
from openflagship.edge import EdgeEnvironment, EdgeSettings
from sdk_fixtures import FAST, treatment
from small_platform import KEY, SmallPlatform, eventually

SECRET = "fs_sign_test"


def _signed(body: bytes, secret: str) -> str:
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def _copy(*, key: str = KEY, secret: str = SECRET, age: float = 0.0) -> bytes:
    body = json.dumps(snapshot(treatment())).encode()
    proof = Proof(body, (_signed(body, secret),))
    return write_copy("", proof, fingerprint_of(key), time.time() - age)


def _settings(path: Path, **more: str) -> EdgeSettings:
    one = {"serverKey": KEY, "clientKeys": [CLIENT_KEY], "signingSecret": SECRET, "snapshot": str(path)}
    return EdgeSettings.from_environ({"FLAGSHIP_EDGE_OFFLINE": "1", "FLAGSHIP_EDGE_KEYS": json.dumps([one]), **more})


def test_edge__offline__serves_the_signed_file_with_its_age_and_connects_to_nobody(
    platform: SmallPlatform, run_edge: Callable[..., EdgeThread], tmp_path: Path
) -> None:
    path = tmp_path / "production.json"
    path.write_bytes(_copy(age=100.0))
    (one,) = _settings(path).environments
    edge = run_edge(platform.url, one, is_offline=True, options={"stale_after_seconds": 101.0})
    eventually(edge.is_ready)
    status, answer, _ = edge.ask("POST", "/api/evaluate", {"flagKey": "asked", "userId": "user-1"}, key=CLIENT_KEY)
    assert (status, answer["variant"]) == (200, "treatment")
    with edge.open("/api/snapshot") as response:
        assert response.headers["X-Signature"] == _signed(response.read(), SECRET)
    state = edge.ask("GET", "/readyz")[1]["environments"][0]
    assert (state["connection"], state["source"], state["ageSeconds"] >= 100) == ("offline", "stored", True)
    eventually(lambda: edge.ask("GET", "/readyz")[1]["environments"][0]["stale"])
    with FlagShip(KEY, edge.url, **FAST, signing_secret=SECRET, stale_after_seconds=101.0) as behind:
        eventually(lambda: behind.status().is_stale)
    for route in ("/api/events/exposure", "/api/stream/ack"):
        assert edge.ask("POST", route, {})[0] == 503
    assert platform.asked == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (json.dumps(snapshot(treatment())).encode(), "bears no signature"),
        (_copy().replace(b"treatment", b"changed-x"), "signature is missing or wrong"),
        (_copy(secret="fs_sign_other"), "signature is missing or wrong"),
        (_copy(key="fs_server_other"), "fetched with another key"),
        (None, "No such file"),
    ],
    ids=["unsigned", "altered", "other-secret", "other-key", "absent"],
)
def test_edge__offline_file_that_cannot_be_trusted__does_not_start(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "production.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=said):
        _settings(path)


def test_edge__offline_with_what_needs_a_server__is_refused(tmp_path: Path) -> None:
    path = tmp_path / "production.json"
    path.write_bytes(_copy())
    with pytest.raises(ValueError, match="leave FLAGSHIP_EDGE_URL out"):
        _settings(path, FLAGSHIP_EDGE_URL="http://x")
    with pytest.raises(ValueError, match="needs a snapshot"):
        EdgeSettings.from_environ({"FLAGSHIP_EDGE_OFFLINE": "1", "FLAGSHIP_EDGE_KEYS": KEY})
    with pytest.raises(ValueError, match="FLAGSHIP_EDGE_OFFLINE=1"):
        EdgeSettings(url="http://x", environments=(EdgeEnvironment(server_key=KEY, snapshot=path),))
