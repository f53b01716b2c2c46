"""Edges that the server configures: their environments, keys and revocations follow by stream, through a tree too."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from configured_edges import BLOG, CLIENT, EDGE, LEAF, OTHER, SERVER, WEB, edges, told
from edge_process import EdgeThread
from openflagship import FlagShip
from openflagship.edge import EdgeSettings
from openflagship.edge.directory import read_configuration
from sdk_fixtures import FAST, treatment
from small_platform import SmallPlatform, eventually

RunEdge = Callable[..., EdgeThread]
ASKED = {"flagKey": "asked", "userId": "user-1"}


def _status(edge: EdgeThread, key: str) -> int:
    return edge.ask("POST", "/api/evaluate", ASKED, key=key)[0]


def test_edge__only_a_credential__serves_what_the_server_names_and_follows_each_change(
    configured: SmallPlatform, run_edge: RunEdge
) -> None:
    edge = run_edge(configured.url, credential=EDGE)
    eventually(lambda: edge.states() == {WEB: "ready"})
    assert [_status(edge, key) for key in (SERVER, CLIENT, OTHER, CLIENT + "x", SERVER[:-1])] == [
        200,
        200,
        401,
        401,
        401,
    ]
    assert {_status(edge, key) for key in (f"{CLIENT}~{WEB}", EDGE[:-1], f"{EDGE}~{BLOG}")} == {401}
    assert _status(edge, EDGE) == 403
    assert edge.ask("GET", "/api/snapshot", key=CLIENT)[0] == 403
    with edge.open("/api/stream", key=SERVER) as stream:
        assert stream.readline().startswith(b": keep-alive")
        # A new environment, a new key in it, and a key that is gone.
        configured.tell_edges(
            [{"name": WEB, "keys": [told(CLIENT)]}, {"name": BLOG, "keys": [told(OTHER)]}], edges(WEB)
        )
        eventually(lambda: _status(edge, OTHER) == 200)
        assert _status(edge, SERVER) == 401
        assert stream.read().count(b"event: snapshot") == 1  # it has ended
    configured.tell_edges([{"name": BLOG, "keys": [told(OTHER)]}], edges())
    eventually(lambda: edge.states() == {BLOG: "ready"})
    assert [_status(edge, key) for key in (CLIENT, OTHER)] == [401, 200]
    metrics = edge.ask("GET", "/metrics")[1]
    assert b'flagship_edge_key_requests_total{environment="web/production",key="fs_client_dddddddd"}' in metrics
    assert b'flagship_edge_request_seconds_count{environment="blog/production"}' in metrics


def test_edge__key_is_revoked__is_refused_within_a_second(configured: SmallPlatform, run_edge: RunEdge) -> None:
    edge = run_edge(configured.url, credential=EDGE)
    eventually(lambda: _status(edge, CLIENT) == 200)
    taken = []
    for number in range(5):
        configured.tell_edges([{"name": WEB, "keys": [told(SERVER), *([told(CLIENT)] if number % 2 else [])]}], [])
        began = time.monotonic()
        eventually(lambda expected=200 if number % 2 else 401: _status(edge, CLIENT) == expected)
        taken.append(time.monotonic() - began)
    # The best of five: others use the machine too.
    assert min(taken) < 1


def test_edge__key_expires__is_refused_from_that_moment_on(configured: SmallPlatform, run_edge: RunEdge) -> None:
    edge = run_edge(configured.url, credential=EDGE)
    eventually(lambda: _status(edge, SERVER) == 200)
    configured.tell_edges([{"name": WEB, "keys": [told(CLIENT, expiresAt=time.time() + 3600)]}], [])
    # The server key is gone once the edge goes by what it was told; the other one expires in an hour.
    eventually(lambda: _status(edge, SERVER) == 401)
    assert _status(edge, CLIENT) == 200
    configured.tell_edges([{"name": WEB, "keys": [told(CLIENT, expiresAt=time.time() + 1)]}], [])
    eventually(lambda: _status(edge, CLIENT) == 401)


@pytest.mark.parametrize(("path", "key"), [("/api/stream", SERVER), ("/api/edge/stream", LEAF)], ids=["sdk", "edge"])
def test_edge__key_of_an_open_stream_expires__ends_it(
    configured: SmallPlatform, run_edge: RunEdge, path: str, key: str
) -> None:
    edge = run_edge(configured.url, credential=EDGE)
    eventually(lambda: edge.states() == {WEB: "ready"})
    with edge.open(path, key=key) as stream:
        # Still to come as the edge is told of it: nothing but the clock ends the stream.
        expiry = {"expiresAt": time.time() + 0.5}
        leaf = {**told(LEAF, environments=[WEB]), **expiry}
        configured.tell_edges([{"name": WEB, "keys": [told(SERVER, **expiry), told(CLIENT)]}], [leaf])

        eventually(lambda: not stream.readline())


def test_edge__servers_stream_drips__is_left_and_what_it_did_not_tell_is_learned(
    configured: SmallPlatform, run_edge: RunEdge
) -> None:
    # A byte now and then, and never a whole comment.
    configured.keep_alive = b":"
    edge = run_edge(configured.url, credential=EDGE, options={"silence_seconds": 0.5})
    eventually(lambda: _status(edge, CLIENT) == 200)
    revoked = [{"name": WEB, "keys": [told(SERVER)]}]
    configured.edge_configuration = {**configured.edge_configuration, "revision": 2, "environments": revoked}

    eventually(lambda: _status(edge, CLIENT) == 401)
    # It asks for the configuration first, and then for another stream.
    eventually(lambda: sum(path == "/api/edge/stream" for _, path, _ in configured.asked) > 1)


def test_edge__server_says_when_to_come_back__is_not_asked_before(configured: SmallPlatform, run_edge: RunEdge) -> None:
    configured.fail["/api/edge/configuration"], configured.retry_after = 503, "600"
    edge = run_edge(configured.url, credential=EDGE)
    eventually(lambda: edge.ask("GET", "/readyz")[1]["configuration"]["error"])
    time.sleep(0.5)

    assert [path for _, path, _ in configured.asked] == ["/api/edge/configuration"]


def test_kill__through_two_edges__reaches_a_service_in_under_a_second(
    configured: SmallPlatform, run_edge: RunEdge
) -> None:
    middle = run_edge(configured.url, credential=EDGE)
    eventually(lambda: middle.states() == {WEB: "ready"})
    leaf = run_edge(middle.url, credential=LEAF)
    eventually(lambda: leaf.states() == {WEB: "ready"})
    with FlagShip(SERVER, leaf.url, **FAST) as client:
        eventually(lambda: client.status().connection == "streaming")
        taken = []
        for number in range(5):
            configured.change(treatment(killSwitchVariant="control" if number % 2 == 0 else None), "kill_switch")
            began = time.monotonic()
            eventually(lambda expected=number % 2 == 1: client.is_enabled("asked", "user-1") is expected)
            taken.append(time.monotonic() - began)
        assert min(taken) < 1
        client.track("purchase", "user-1", 2.0)
        assert client.flush(60)
    eventually(lambda: len(configured.conversions()) == 1)

    # Revocations reach the leaf too, and so does its own.
    configured.tell_edges([{"name": WEB, "keys": [told(CLIENT)]}], edges(WEB))
    eventually(lambda: _status(leaf, SERVER) == 401)
    assert _status(leaf, CLIENT) == 200
    assert middle.ask("GET", "/api/edge/configuration", key=LEAF)[1]["environments"][0]["name"] == WEB
    configured.tell_edges([{"name": WEB, "keys": [told(CLIENT)]}], edges())
    eventually(lambda: middle.ask("GET", "/api/edge/configuration", key=LEAF)[0] == 401)
    # An edge whose credential is revoked evaluates on: what stands behind it sees it grow stale.
    assert _status(leaf, CLIENT) == 200
    eventually(lambda: leaf.ask("GET", "/readyz")[1]["configuration"]["connection"] == "refused")


def test_edge__server_is_away__starts_from_what_it_kept_and_takes_no_altered_copy(
    configured: SmallPlatform, run_edge: RunEdge, tmp_path: Path
) -> None:
    first = run_edge(configured.url, credential=EDGE, data_dir=tmp_path)
    kept = eventually(lambda: list(tmp_path.glob("edge-configuration-*.json")))[0]
    eventually(lambda: len(list(tmp_path.glob("*.json"))) == 2 and first.states() == {WEB: "ready"})
    first.close()
    configured.stop()

    again = run_edge(configured.url, credential=EDGE, data_dir=tmp_path)
    assert eventually(lambda: _status(again, CLIENT)) == 200
    assert _status(again, OTHER) == 401
    again.close()
    digest = told(OTHER)["digest"]
    kept.write_text(kept.read_text().replace(told(CLIENT)["digest"], digest))
    tampered = run_edge(configured.url, credential=EDGE, data_dir=tmp_path)
    assert [_status(tampered, key) for key in (CLIENT, OTHER)] == [401, 401]
    assert tampered.ask("GET", "/readyz")[0] == 503


_KEY = told(CLIENT)
_GOOD: dict[str, Any] = {
    "organization": "a",
    "revision": 1,
    "environments": [{"name": WEB, "keys": [_KEY]}],
    "edges": [],
}


@pytest.mark.parametrize(
    "bad",
    [
        None, [], 7, "x", {}, {**_GOOD, "revision": "1"}, {**_GOOD, "revision": True}, {**_GOOD, "environments": 7},
        {**_GOOD, "environments": [7]}, {**_GOOD, "environments": [{"name": "", "keys": []}]},
        {**_GOOD, "environments": [{"name": WEB, "keys": [{**_KEY, "digest": "00"}]}]},
        {**_GOOD, "environments": [{"name": WEB, "keys": [{**_KEY, "digest": "x" * 64}]}]},
        {**_GOOD, "environments": [{"name": WEB, "keys": [{**_KEY, "expiresAt": "soon"}]}]},
        {**_GOOD, "edges": [{**_KEY}]},
    ],
    ids=range(14),
)  # fmt: skip
def test_configuration__of_another_form__is_refused(bad: Any) -> None:
    assert read_configuration(json.loads(json.dumps(_GOOD))) == _GOOD
    with pytest.raises(ValueError, match=r"not known|SHA-256|hexadecimal|convert"):
        read_configuration(bad)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"FLAGSHIP_EDGE_CREDENTIAL": "fs_server_x"}, "fs_edge_"),
        ({"FLAGSHIP_EDGE_CREDENTIAL": EDGE, "FLAGSHIP_EDGE_KEYS": SERVER}, "no keys"),
        ({"FLAGSHIP_EDGE_CREDENTIAL": EDGE, "FLAGSHIP_EDGE_SIGNING_SECRETS": "[]"}, "SIGNING_SECRETS"),
        ({"FLAGSHIP_EDGE_CREDENTIAL": EDGE, "FLAGSHIP_EDGE_SIGNING_SECRETS": '{"a/b": ""}'}, "SIGNING_SECRETS"),
        ({"FLAGSHIP_EDGE_CREDENTIAL": EDGE, "FLAGSHIP_EDGE_REDIS_URL": "nonsense"}, "REDIS_URL"),
        (
            {"FLAGSHIP_EDGE_CREDENTIAL": EDGE, "FLAGSHIP_EDGE_REDIS_URL": "redis://x", "FLAGSHIP_EDGE_DATA_DIR": "y"},
            "not both",
        ),
    ],
    ids=range(6),
)
def test_settings__that_cannot_be__are_refused_by_name(given: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        EdgeSettings.from_environ({"FLAGSHIP_EDGE_URL": "http://localhost", **given})
