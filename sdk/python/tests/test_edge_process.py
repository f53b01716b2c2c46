"""The edge between a platform and its services: the same answers, passed-on changes, kept snapshots."""

from __future__ import annotations

import hmac
import json
import signal
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edge_process import CLIENT_KEY, EdgeProcess, EdgeThread
from openflagship import Context, FlagShip
from openflagship.edge.__main__ import main
from openflagship.wire.acknowledgements import FEATURES
from sdk_fixtures import FAST, treatment
from small_platform import KEY, SmallPlatform, eventually


def test_edge__evaluate__answers_as_the_engine_and_sends_the_exposure(
    edge: EdgeThread, platform: SmallPlatform
) -> None:
    with FlagShip(KEY, platform.url, **FAST) as client:
        environment = client.environment
    for number in range(50):
        body = {"flagKey": "half", "userId": f"user-{number}", "attributes": {"country": "DE"}}
        status, answer, _ = edge.ask("POST", "/api/flags/evaluate", body, key=CLIENT_KEY)
        expected = environment.evaluate("half", Context(f"user-{number}", {"country": "DE"}))
        assert status == 200
        assert {**expected.to_dict(), "flagKey": "half", "userId": f"user-{number}"}.items() <= answer.items()
    eventually(lambda: len(platform.exposures()) == 50)
    assert answer["evaluationId"] in {event["evaluationId"] for event in platform.exposures()}


def test_edge__evaluate_all_and_its_refusals__are_the_servers(edge: EdgeThread) -> None:
    status, answer, _ = edge.ask("POST", "/v1/flags/evaluate/all", {"userId": "user-1"})
    assert (status, sorted(answer["flags"]), answer["configVersion"]) == (200, ["asked", "broken", "half"], 1)
    assert answer["flags"]["broken"]["errorCode"] == "PARSE_ERROR"
    unknown = edge.ask("POST", "/api/evaluate", {"flagKey": "nope", "defaultValue": 7})
    assert (unknown[0], unknown[1]["value"], unknown[1]["errorCode"]) == (404, 7, "FLAG_NOT_FOUND")
    for body, attr, code in [
        ({"userId": "u"}, "flagKey", "required"),
        ({"flagKey": "asked", "user": 1}, "user", "unknown_field"),
        ({"flagKey": "asked", "userId": 1}, "userId", "invalid_type"),
        ({"flagKey": "asked", "attributes": {str(n): n for n in range(101)}}, "attributes", "too_many"),
        ([], None, "invalid_type"),
    ]:
        status, answer, _ = edge.ask("POST", "/api/evaluate", body)
        assert (status, answer["type"]) == (400, "validation_error")
        assert {"code": code, "attr": attr}.items() <= answer["errors"][0].items()
    for path in ("/api/evaluate", "/api/flags/evaluate/all", "/api/stream/ack"):
        status, answer, _ = edge.ask("POST", path, b"{broken")
        assert (status, answer["type"], answer["errors"][0]["code"]) == (400, "client_error", "parse_error"), path
    assert edge.ask("POST", "/api/evaluate", b"x" * 2_000_000)[0] == 413
    assert edge.ask("POST", "/api/evaluate", {"flagKey": "asked"}, key="fs_server_wrong")[0] == 401
    assert edge.ask("GET", "/api/flags")[0] == 404
    assert edge.ask("DELETE", "/api/evaluate")[0] == 405


def test_edge__bulk_answers__send_the_exposures_that_are_asked_for_as_prefetched(
    edge: EdgeThread, platform: SmallPlatform
) -> None:
    body, context = {"userId": "user-1"}, {"context": {"targetingKey": "user-1"}}
    for asked in ("", "?exposures=none", "?exposures=all"):
        assert edge.ask("POST", f"/api/flags/evaluate/all{asked}", body)[0] == 200
        status, bulk, _ = edge.ask("POST", f"/ofrep/v1/evaluate/flags{asked}", context)
        assert status == 200
    ids = {flag["metadata"]["evaluationId"] for flag in bulk["flags"] if "metadata" in flag}
    # No flag has an experiment, so by default nothing is sent.
    eventually(lambda: len(platform.exposures()) >= 4)
    assert sorted(event["flagKey"] for event in platform.exposures()) == ["asked", "asked", "half", "half"]
    assert all(event["prefetched"] is True for event in platform.exposures())
    assert ids <= {event["evaluationId"] for event in platform.exposures()}


def test_edge__rules__stay_private_from_client_keys(edge: EdgeThread) -> None:
    for path in ("/api/snapshot", "/api/stream"):
        assert edge.ask("GET", path, key=CLIENT_KEY)[0] == 403
    status, snapshot, headers = edge.ask("GET", "/api/snapshot")

    assert (status, snapshot["version"], sorted(snapshot["flags"])) == (200, 1, ["asked", "broken", "half"])
    assert edge.ask("GET", "/api/snapshot", If_None_Match=headers["ETag"])[0] == 304


def test_edge__ofrep__answers_single_and_bulk(edge: EdgeThread) -> None:
    path, context = "/ofrep/v1/evaluate/flags", {"context": {"targetingKey": "user-1"}}
    status, one, _ = edge.ask("POST", f"{path}/half", context, key=CLIENT_KEY)
    metadata = {"team": "web", "evaluationId": one["metadata"]["evaluationId"]}
    assert (status, one["key"], one["reason"], one["metadata"]) == (200, "half", "DEFAULT", metadata)
    assert edge.ask("POST", f"{path}/asked", context)[1]["reason"] == "SPLIT"
    assert edge.ask("POST", f"{path}/nope", context)[1]["errorCode"] == "FLAG_NOT_FOUND"
    assert edge.ask("POST", f"{path}/half", {"context": []})[1]["errorCode"] == "INVALID_CONTEXT"
    assert edge.ask("POST", f"{path}/half", b"{")[1]["errorCode"] == "PARSE_ERROR"
    status, bulk, headers = edge.ask("POST", path, context, Origin="https://shop.example.com")
    assert (status, [flag["key"] for flag in bulk["flags"]]) == (200, ["asked", "broken", "half"])
    assert headers["Access-Control-Allow-Origin"] == "https://shop.example.com"
    assert edge.ask("POST", path, context, If_None_Match=headers["ETag"])[0] == 304
    other = {"context": {"targetingKey": "user-2"}}
    assert edge.ask("POST", path, other, If_None_Match='"other"', Origin="https://evil.example.com")[2].get(
        "Access-Control-Allow-Origin"
    ) is None  # fmt: skip


def test_edge__tree_of_edges__passes_changes_events_and_acknowledgements(
    edge: EdgeThread, platform: SmallPlatform, run_edge: Callable[..., EdgeThread]
) -> None:
    leaf = run_edge(edge.url)
    eventually(leaf.is_ready)
    with FlagShip(KEY, leaf.url, **FAST) as client:
        eventually(lambda: client.status().connection == "streaming")
        for number in range(5):
            platform.change(treatment(enabled=number % 2 == 1))
        eventually(lambda: client.status().config_version == 6)
        assert not client.is_enabled("asked", "user-1")
        kill = json.dumps(treatment(killSwitchVariant="treatment"))
        platform.say(f"event: kill_switch\ndata: {kill}\n\n".encode())
        eventually(lambda: client.is_enabled("asked", "user-1"))
        client.track("purchase", "user-1", 2.0)
        assert client.flush(60)
        eventually(
            lambda: {"instance": client.instance, "version": 6}.items() <= _last(platform, client.instance).items()
        )
        later = {"id": "later", "priority": 1, "conditions": [{"attribute": "x", "operator": "resembles"}]}
        platform.change({**treatment(rules=[{**later, "variant": "treatment"}]), "key": "half"})
        unclear = ["broken", "half"]
        eventually(lambda: _last(platform, client.instance).get("notUnderstood", {}).get("flags") == unclear)
        answer = client.variation_detail("half", "user-1")
        assert (answer.stale, answer.detail) == (True, "not_understood")
    assert len(platform.conversions()) == 1
    # The client's, and those of both edges, which acknowledge in their own time.
    instances = eventually(lambda: len(told := {said["instance"] for said in platform.acknowledged}) == 3 and told)
    assert all(_last(platform, instance)["features"] == list(FEATURES) for instance in instances)


def _last(platform: SmallPlatform, instance: str) -> dict[str, Any]:
    """What it acknowledged last; a goodbye acknowledges nothing."""
    said = (one for one in reversed(platform.acknowledged) if one["instance"] == instance and not one.get("goodbye"))
    return next(said, {})


def test_edge__server_away__starts_from_disk_refuses_events_and_recovers(
    platform: SmallPlatform, start_edge: Callable[..., EdgeProcess], tmp_path: Path
) -> None:
    platform.flags = {"asked": treatment()}
    edge = start_edge(platform.url)
    eventually(lambda: list((tmp_path / "edge").glob("*.json")))
    # uvicorn ends itself by the signal once it has closed in good order.
    assert edge.close() in {0, -signal.SIGTERM}
    platform.stop()
    again = start_edge(platform.url)
    eventually(again.is_ready)
    answer = again.ask("POST", "/api/evaluate", {"flagKey": "asked", "userId": "user-1"})
    refused = again.ask("POST", "/api/events/conversion", {"userId": "u", "eventName": "e"})

    assert (answer[0], answer[1]["value"]) == (200, True)
    assert (refused[0], refused[2]["Retry-After"]) == (503, "1")
    platform.version = 4
    platform.start()
    eventually(lambda: again.ask("GET", "/readyz")[1]["environments"][0]["configVersion"] == 4)


def test_edge__ofrep_stream__says_refetch_after_a_change_to_whoever_has_its_token(
    edge: EdgeThread, platform: SmallPlatform
) -> None:
    bulk = edge.ask("POST", "/ofrep/v1/evaluate/flags", {"context": {"targetingKey": "u"}}, key=CLIENT_KEY)[1]
    (named,) = bulk["eventStreams"]
    path = named["endpoint"]["requestUri"]
    assert (named["type"], KEY in path) == ("sse", False)
    name, until, signature = path.partition("token=")[2].split(".")
    too_old = hmac.new(KEY.encode(), f"ofrep.stream.{name}.1".encode(), "sha256").hexdigest()[:32]
    for wrong in ("", "a.b.c", f"{name}.{int(until) + 1}.{signature}", f"{name}.1.{too_old}"):
        assert edge.ask("GET", f"/ofrep/v1/stream?token={wrong}")[0] == 401

    with urllib.request.urlopen(edge.url + path, timeout=60) as stream:
        # The edge says the age of its news first, in a comment.
        assert next(line for line in stream if line.strip() and not line.startswith(b":")).startswith(b"retry: ")
        platform.change(treatment(enabled=False))
        lines = []
        for line in stream:
            # On a slow machine a comment may come first, which keeps the connection alive.
            if line.strip() and not line.startswith(b":"):
                lines.append(line.strip())
            if line.startswith(b"data: "):
                break

    assert lines == [b"id: 2", b'data: {"type":"refetchEvaluation"}']


def test_edge__rate_limit_reached__is_429_with_retry_after_for_that_key_alone(
    edge: EdgeThread, run_edge: Callable[..., EdgeThread]
) -> None:
    leaf = run_edge(edge.url, rate_limit=2)
    eventually(leaf.is_ready)
    body = {"flagKey": "asked", "userId": "user-1"}
    # More than a bucket of two lets through, however slow the machine: it fills once in half a minute.
    answers = [leaf.ask("POST", "/api/evaluate", body) for _ in range(6)]
    refused = [(answer, headers) for status, answer, headers in answers if status == 429]

    assert answers[0][0] == 200
    assert refused
    assert refused[0][0]["errors"][0]["code"] == "rate_limited"
    assert 1 <= int(refused[0][1]["Retry-After"]) <= 30
    assert leaf.ask("POST", "/api/evaluate", body, key=CLIENT_KEY)[0] == 200


def test_edge__metrics__count_what_it_does(edge: EdgeThread) -> None:
    edge.ask("POST", "/api/evaluate", {"flagKey": "asked", "userId": "user-1"})
    _, content, _ = edge.ask("GET", "/metrics")

    assert b'flagship_edge_evaluations_total{reason="ROLLOUT"} 1.0' in content
    assert b"flagship_edge_config_version{environment=" in content
    assert KEY.encode() not in content


@pytest.mark.parametrize(
    "environ", [{}, {"FLAGSHIP_EDGE_URL": "http://x"}, {"FLAGSHIP_EDGE_URL": "http://x", "FLAGSHIP_EDGE_KEYS": "[{}]"}]
)
def test_edge__settings_missing__says_which(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["openflagship-edge"])

    with pytest.raises(SystemExit, match=r"FLAGSHIP_EDGE|server key"):
        main()
