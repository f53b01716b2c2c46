"""Several environments on one edge: each has its own secret, name and readiness; and the age that an edge tells."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path

import pytest
from edge_process import EdgeThread
from openflagship import FlagShip
from openflagship.edge import EdgeEnvironment, EdgeSettings
from openflagship.edge.source import name_of
from sdk_fixtures import FAST
from small_platform import KEY, SmallPlatform, eventually

RunEdge = Callable[..., EdgeThread]
OTHER = "fs_server_other"


def _signed(body: bytes, secret: str) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def test_edge__a_secret_for_each_environment__takes_and_signs_each_by_its_own(
    platform: SmallPlatform, run_edge: RunEdge
) -> None:
    platform.secret, platform.others = "first", {OTHER: "second"}
    edge = run_edge(
        platform.url,
        EdgeEnvironment(server_key=KEY, signing_secret="first", name="shop"),
        EdgeEnvironment(server_key=OTHER, signing_secret="second", name="blog"),
    )

    eventually(lambda: edge.states() == {"shop": "ready", "blog": "ready"})
    for key, secret in ((KEY, "first"), (OTHER, "second")):
        with edge.open("/api/snapshot", key=key) as response:
            assert response.headers["X-Signature"] == _signed(response.read(), secret)
        with FlagShip(key, edge.url, **FAST, signing_secret=secret) as client:
            assert client.is_enabled("asked", "user-1")
    assert b'flagship_edge_ready{environment="blog"} 1.0' in edge.ask("GET", "/metrics")[1]


def test_edge__one_of_several_is_refused_or_of_no_use__serves_the_others_and_says_which(
    platform: SmallPlatform, run_edge: RunEdge
) -> None:
    platform.secret, platform.others = "first", {OTHER: "not the edge's"}
    edge = run_edge(
        platform.url,
        EdgeEnvironment(server_key=KEY, name="shop"),
        EdgeEnvironment(server_key="fs_server_revoked", name="gone"),
        EdgeEnvironment(server_key=OTHER, signing_secret="second", name="forged"),
    )

    eventually(lambda: edge.states() == {"shop": "ready", "gone": "failing", "forged": "failing"})
    status, body, _ = edge.ask("GET", "/readyz")
    assert (status, body["status"]) == (200, "degraded")
    assert [one["error"] is None for one in body["environments"]] == [True, False, False]
    assert edge.ask("GET", "/readyz?environment=shop")[0] == 200
    assert edge.ask("GET", "/readyz?environment=gone")[0] == 503
    assert edge.ask("GET", "/readyz?environment=nobody")[0] == 404
    for key in ("fs_server_revoked", OTHER):
        assert edge.ask("POST", "/api/evaluate", {"flagKey": "asked", "userId": "u"}, key=key)[0] == 503
    assert edge.ask("POST", "/api/evaluate", {"flagKey": "asked", "userId": "u"})[0] == 200


def test_edge__no_environment_is_ready__is_not(platform: SmallPlatform, run_edge: RunEdge) -> None:
    edge = run_edge(platform.url, EdgeEnvironment(server_key="fs_server_revoked", name="gone"))

    eventually(lambda: edge.states() == {"gone": "failing"})
    assert edge.ask("GET", "/readyz")[0] == 503


def test_edge__kept_file_was_tampered_with__is_refused_and_signed_by_nobody(
    platform: SmallPlatform, run_edge: RunEdge, tmp_path: Path
) -> None:
    platform.secret = "secret"
    one = EdgeEnvironment(server_key=KEY, signing_secret="secret", name="shop")
    first = run_edge(platform.url, one, data_dir=tmp_path)
    kept = tmp_path / f"{name_of(KEY)}.json"
    eventually(kept.exists)
    first.close()
    platform.stop()

    again = run_edge(platform.url, one, data_dir=tmp_path)
    assert eventually(lambda: again.ask("GET", "/api/snapshot"))[0] == 200
    again.close()
    content = kept.read_bytes()
    assert b"10000" in content
    kept.write_bytes(content.replace(b"10000", b"9000"))

    tampered = run_edge(platform.url, one, data_dir=tmp_path)
    eventually(lambda: tampered.states() == {"shop": "failing"})
    for path in ("/api/snapshot", "/api/stream"):
        assert tampered.ask("GET", path)[0] == 503


def test_edge__keep_alives_and_snapshots__tell_its_age(platform: SmallPlatform, run_edge: RunEdge) -> None:
    edge = run_edge(platform.url)
    eventually(edge.is_ready)
    platform.stop()
    (source,) = edge.edge.sources
    eventually(lambda: (source.age_seconds or 0) > 1)

    assert int(edge.ask("GET", "/api/snapshot")[2]["X-FlagShip-Age"]) >= 1
    with edge.open("/api/stream") as stream:
        told = (line for line in stream if line.startswith(b":"))
        ages = [int(next(told).removeprefix(b": keep-alive age=")) for _ in range(2)]
    assert 1 <= ages[0] <= ages[1]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"FLAGSHIP_EDGE_KEYS": "fs_server_a,fs_server_b", "FLAGSHIP_EDGE_SIGNING_SECRET": "x"}, "signingSecret"),
        ({"FLAGSHIP_EDGE_KEYS": '[{"serverKey": "a", "signingSecret": ""}]'}, "empty"),
        ({"FLAGSHIP_EDGE_KEYS": '[{"serverKey": "a", "secret": "b"}]'}, "'secret'"),
        ({"FLAGSHIP_EDGE_KEYS": '[{"serverKey": "a", "clientKeys": "b"}]'}, "clientKeys"),
        ({"FLAGSHIP_EDGE_KEYS": '[{"serverKey": "a", "name": 7}]'}, "text"),
        ({"FLAGSHIP_EDGE_KEYS": "[7]"}, "FLAGSHIP_EDGE_KEYS"),
        (
            {"FLAGSHIP_EDGE_KEYS": '[{"serverKey": "a", "name": "n"}, {"serverKey": "b", "name": "n"}]'},
            "name of its own",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings__environment_that_cannot_be__is_refused_by_name(given: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        EdgeSettings.from_environ({"FLAGSHIP_EDGE_URL": "http://localhost", **given})


def test_edge__cut_off_from_its_server__makes_the_sdk_behind_it_stale_within_the_limit_and_current_again(
    platform: SmallPlatform, run_edge: RunEdge
) -> None:
    platform.keep_alive_seconds = 0.1
    edge = run_edge(platform.url)
    leaf = run_edge(edge.url)
    with FlagShip(KEY, leaf.url, **FAST, stale_after_seconds=2.0) as client:
        eventually(lambda: client.status().connection == "streaming" and not client.status().is_stale)
        platform.stop()
        # Its own stream is well: only what comes over it says that nobody knows anything new.
        eventually(lambda: client.status().is_stale)
        assert client.status().connection == "streaming"
        assert client.variation_detail("asked", "user-1").stale
        platform.start()
        eventually(lambda: not client.status().is_stale)
