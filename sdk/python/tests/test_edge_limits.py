"""An edge's limits: each refusal is the server's."""

from __future__ import annotations

import urllib.error
from collections.abc import Callable

import pytest
from edge_process import CLIENT_KEY, EdgeThread
from openflagship.edge import EdgeSettings
from small_platform import KEY, SmallPlatform, eventually


def test_edge__limits_reached__are_refused_and_places_are_given_back(
    platform: SmallPlatform, run_edge: Callable[..., EdgeThread]
) -> None:
    edge = run_edge(platform.url, most_streams=2, most_streams_per_key=1, most_body_bytes=200)
    eventually(edge.is_ready)
    bulk = edge.ask("POST", "/ofrep/v1/evaluate/flags", {"context": {"targetingKey": "u"}}, key=CLIENT_KEY)[1]
    browser = bulk["eventStreams"][0]["endpoint"]["requestUri"]
    with edge.open("/api/stream"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            edge.open("/api/stream")
        assert (refused.value.code, refused.value.headers["RateLimit-Limit"]) == (429, "1")
        assert b"One key may hold 1 streams" in refused.value.read()
        with edge.open(browser):
            status, body, headers = edge.ask("GET", browser)
            assert (status, headers["Retry-After"], body["errors"][0]["code"]) == (429, "30", "rate_limited")
    eventually(lambda: _opens(edge, "/api/stream"))
    large = {"flagKey": "asked", "attributes": {"x": "x" * 200}}
    for route in ("/api/evaluate", "/api/flags/evaluate/all", "/api/events/exposure", "/api/stream/ack"):
        status, body, _ = edge.ask("POST", route, large)
        assert (status, body["errors"][0]["code"]) == (413, "payload_too_large")


def _opens(edge: EdgeThread, path: str) -> bool:
    try:
        edge.open(path).close()
    except urllib.error.HTTPError:
        return False
    return True


def test_edge__limits__come_from_variables() -> None:
    environ = {
        "FLAGSHIP_EDGE_URL": "http://x", "FLAGSHIP_EDGE_KEYS": KEY, "FLAGSHIP_EDGE_MAX_STREAMS": "9",
        "FLAGSHIP_EDGE_MAX_STREAMS_PER_KEY": "3", "FLAGSHIP_EDGE_MAX_BODY_BYTES": "500",
        "FLAGSHIP_EDGE_STALE_AFTER_SECONDS": "30",
    }  # fmt: skip
    found = EdgeSettings.from_environ(environ)
    assert (found.most_streams, found.most_streams_per_key, found.most_body_bytes) == (9, 3, 500)
    assert found.options == {"stale_after_seconds": 30.0}
    for name in sorted(environ)[2:]:
        if name.startswith("FLAGSHIP_EDGE_MAX") or name.endswith("SECONDS"):
            with pytest.raises(ValueError, match=name):
                EdgeSettings.from_environ({**environ, name: "many"})
