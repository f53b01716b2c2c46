"""What an edge's metrics say: what goes wrong too, and whose key it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from edge_process import CLIENT_KEY, EdgeThread
from openflagship.edge import EdgeEnvironment
from openflagship.edge.grpc.settings import GrpcAddress, GrpcSettings
from openflagship.edge.metrics import MOST_TIMED_KEYS, Metrics, render
from openflagship.edge.source import name_of
from sdk_fixtures import treatment
from small_platform import KEY, SmallPlatform, eventually

RunEdge = Callable[..., EdgeThread]
ASKED = {"flagKey": "asked", "userId": "user-1"}
FLAGS = "/ofrep/v1/evaluate/flags"


def _found(text: str, name: str, *labels: str) -> dict[Any, float]:
    """The values of a metric by the values of these labels; of one label by the value alone."""
    found = {}
    for line in re.findall(rf"^flagship_edge_{name}\{{.*$", text, re.MULTILINE):
        inside, value = line.partition("{")[2].rsplit("} ", 1)
        of = dict(re.findall(r'(\w+)="([^"]*)"', inside))
        values = tuple(of[label] for label in labels)
        found[values if len(values) > 1 else values[0]] = float(value)
    return found


def _scrape(edge: EdgeThread) -> str:
    return str(edge.ask("GET", "/metrics")[1].decode())


def _run(run_edge: RunEdge, platform: SmallPlatform, **settings: Any) -> EdgeThread:
    one = EdgeEnvironment(server_key=KEY, client_keys=(CLIENT_KEY,), name="prod")
    edge = run_edge(platform.url, one, **settings)
    eventually(edge.is_ready)
    return edge


def test_metrics__requests_that_are_refused__count_by_key_and_status(
    platform: SmallPlatform, run_edge: RunEdge
) -> None:
    edge = _run(run_edge, platform, most_body_bytes=200)
    large = {**ASKED, "attributes": {"x": "x" * 300}}
    platform.fail["/api/events/conversion"] = 429
    asked = [
        ("/api/evaluate", ASKED, 200), ("/api/evaluate", b"{", 400), ("/api/evaluate", large, 413),
        ("/api/flags/evaluate/all", large, 413), (FLAGS, b"{", 400), (f"{FLAGS}/asked", b"{", 400),
        (f"{FLAGS}?exposures=some", {"context": {"targetingKey": "u"}}, 400), ("/api/events/conversion", {}, 429),
    ]  # fmt: skip
    assert [edge.ask("POST", path, body, key=CLIENT_KEY)[0] for path, body, _ in asked] == [one[2] for one in asked]
    assert edge.ask("GET", "/api/snapshot", key=CLIENT_KEY)[0] == 403
    assert edge.ask("GET", "/api/evaluate", key=CLIENT_KEY)[0] == 405
    assert edge.ask("GET", "/api/stream/production", key=CLIENT_KEY)[0] == 403
    text = _scrape(edge)

    key = name_of(CLIENT_KEY)
    refusals = _found(text, "key_refusals_total", "key", "status")
    assert refusals == {(key, "400"): 4, (key, "413"): 2, (key, "429"): 1, (key, "403"): 2, (key, "405"): 1}
    # The stream is no request that is counted.
    assert _found(text, "key_requests_total", "key") == {key: len(asked) + 2}
    assert _found(text, "key_request_seconds_count", "key") == {key: len(asked)}
    assert _found(text, "request_seconds_count", "environment") == {"prod": len(asked)}
    assert not any(secret in text for secret in (KEY, CLIENT_KEY))


def test_metrics__a_key_that_is_limited__is_the_one_with_429(platform: SmallPlatform, run_edge: RunEdge) -> None:
    edge = _run(run_edge, platform, rate_limit=2)
    statuses = [edge.ask("POST", "/api/evaluate", ASKED, key=CLIENT_KEY)[0] for _ in range(6)]
    assert edge.ask("POST", "/api/evaluate", ASKED)[0] == 200
    text = _scrape(edge)

    limited = statuses.count(429)
    assert limited > 0
    assert _found(text, "key_refusals_total", "key", "status") == {(name_of(CLIENT_KEY), "429"): limited}
    assert _found(text, "key_requests_total", "key") == {name_of(CLIENT_KEY): 6, name_of(KEY): 1}


def test_metrics__a_key_that_is_limited_over_connect__is_the_one_with_429(
    platform: SmallPlatform, run_edge: RunEdge
) -> None:
    ports = GrpcSettings(addresses=(GrpcAddress("127.0.0.1:0", is_connect=True),))
    platform.flags = {"half": treatment("half", allocation=[])}
    edge = _run(run_edge, platform, rate_limit=2, grpc=ports)
    http, edge.url = edge.url, f"http://127.0.0.1:{edge.edge.grpc.servers[0][1].port}"
    path = "/flagd.evaluation.v1.Service/ResolveBoolean"
    # The key of a flag in protobuf, and no context.
    statuses = [
        edge.ask("POST", path, b"\x0a\x04half", key=CLIENT_KEY, Content_Type="application/proto")[0] for _ in range(6)
    ]
    edge.url = http
    text = _scrape(edge)

    limited = statuses.count(429)
    assert (limited > 0, statuses.count(200)) == (True, 6 - limited)
    assert _found(text, "key_refusals_total", "key", "status") == {(name_of(CLIENT_KEY), "429"): limited}
    assert _found(text, "key_requests_total", "key") == {name_of(CLIENT_KEY): 6}


def test_metrics__streams__count_those_of_browsers_too(platform: SmallPlatform, run_edge: RunEdge) -> None:
    edge = _run(run_edge, platform)
    bulk = edge.ask("POST", FLAGS, {"context": {"targetingKey": "u"}}, key=CLIENT_KEY)[1]
    browser = bulk["eventStreams"][0]["endpoint"]["requestUri"]

    with edge.open("/api/stream") as sdk, edge.open(browser) as first, edge.open(browser) as second:
        assert all(stream.readline() for stream in (sdk, first, second))
        assert _found(_scrape(edge), "streams", "environment") == {"prod": 3}
    # What nobody reads any more is found out when something is sent.
    platform.change(treatment(enabled=False))
    eventually(lambda: _found(_scrape(edge), "streams", "environment") == {"prod": 0})


def test_metrics__of_a_thousand_keys__stay_readable_and_leave_none_out() -> None:
    metrics = Metrics(list)
    for number in range(1_000):
        metrics.series("prod", f"fs_client_{number:08}").observe(0.001)
    text = render({"": metrics.figures()}).decode()

    of_keys = _found(text, "key_request_seconds_count", "key")
    assert len(of_keys) == MOST_TIMED_KEYS + 1
    assert of_keys["fs_client_00000000"] == 1
    assert of_keys["other"] == 1_000 - MOST_TIMED_KEYS
    assert _found(text, "request_seconds_count", "environment") == {"prod": 1_000}
    assert len(text.splitlines()) < 3_000
