"""Who evaluated what at an edge: its own evaluations in summaries of its own, those of its SDKs passed on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from edge_process import CLIENT_KEY, EdgeThread
from openflagship import FlagShip
from sdk_fixtures import FAST, treatment
from small_platform import KEY, SmallPlatform, eventually

RunEdge = Callable[..., EdgeThread]
_ASKED = {"flagKey": "asked", "userId": "user-1"}


def test_edge__its_own_evaluations__are_summed_up_as_those_of_an_edge(
    platform: SmallPlatform, run_edge: RunEdge
) -> None:
    platform.flags = {"asked": treatment(), "other": treatment("other")}
    edge = run_edge(platform.url, options={"usage_seconds": 3600.0, "close_wait_seconds": 60.0})
    eventually(edge.is_ready)
    context = {"context": {"targetingKey": "user-1"}}
    for path, body in (
        ("/api/evaluate", _ASKED),
        ("/evaluate", _ASKED),
        ("/api/evaluate", {"flagKey": "asked"}),
        ("/api/evaluate", {"flagKey": "nobody-knows-it", "userId": "user-1"}),
        ("/api/flags/evaluate/all", {"userId": "user-1"}),
        ("/ofrep/v1/evaluate/flags/other", context),
        ("/ofrep/v1/evaluate/flags", context),
    ):
        assert edge.ask("POST", path, body, key=CLIENT_KEY)[0] in {200, 404}, path
    edge.close()

    (summary,) = platform.summaries
    assert summary["source"] == "edge"
    counts = {(row["flagKey"], row["variant"], row["reason"]): row["count"] for row in summary["flags"]}
    assert counts == {
        ("asked", "treatment", "ROLLOUT"): 4,
        ("asked", "control", "DEFAULT"): 1,
        ("other", "treatment", "ROLLOUT"): 3,
    }
    assert summary["unknownFlags"] == [{"flagKey": "nobody-knows-it", "count": 1}]


def test_edge__summaries_of_sdks_behind_it__are_passed_on_once_as_they_are(
    platform: SmallPlatform, run_edge: RunEdge
) -> None:
    platform.flags = {"asked": treatment()}
    leaf = run_edge(run_edge(platform.url).url)
    eventually(leaf.is_ready)
    with FlagShip(KEY, leaf.url, **FAST, usage_seconds=3600.0) as client:
        assert client.is_enabled("asked", "user-1")
    posts = [{name.lower() for name in headers} for _, path, headers in platform.asked if path == "/api/events/usage"]

    (summary,) = platform.summaries
    assert (summary["source"], summary["flags"][0]["count"]) == ("sdk", 1)
    assert len(posts) == 1
    assert "idempotency-key" in posts[0]


def test_edge__paths_without_a_prefix__are_those_with_one(platform: SmallPlatform, run_edge: RunEdge) -> None:
    platform.flags = {"asked": treatment()}
    edge = run_edge(platform.url)
    eventually(edge.is_ready)
    for path in ("/healthz", "/live", "/health", "/readyz", "/ready"):
        assert edge.ask("GET", path)[0] == 200
    event = {"events": [{"eventName": "purchase", "userId": "user-1"}]}

    assert edge.ask("POST", "/evaluate", _ASKED, key=CLIENT_KEY)[1]["variant"] == "treatment"
    assert edge.ask("GET", "/configs/production")[1] == edge.ask("GET", "/api/snapshot")[1]
    assert edge.ask("GET", "/configs/staging")[0] == edge.ask("GET", "/api/configs/staging")[0] == 404
    for path in ("/stream", "/stream/production", "/api/events"):
        with edge.open(path) as stream:
            assert stream.headers["Content-Type"].startswith("text/event-stream"), path
        assert edge.ask("GET", path, key=CLIENT_KEY)[0] == 403
    kinds = ("exposure", "conversion", "metrics")
    for kind in kinds:
        assert edge.ask("POST", f"/events/{kind}", event, key=CLIENT_KEY)[0] == 202
    paths = Counter(path for method, path, _ in platform.asked if method == "POST")
    assert {f"/api/events/{kind}" for kind in kinds} <= paths.keys()
