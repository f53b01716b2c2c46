"""An edge among callers that misbehave and a server that goes, refuses or was never there."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edge_process import CLIENT_KEY, EdgeProcess, EdgeThread
from openflagship.client.transport.sse import ServerEvent
from openflagship.edge import Edge, EdgeEnvironment, EdgeSettings
from openflagship.edge.listeners import MOST_EVENTS_WAITING, Listener
from openflagship.edge.source import name_of
from openflagship.wire.reading import GoneError, read_body
from sdk_fixtures import treatment
from small_platform import KEY, SmallPlatform, eventually, held_port

ASKED = {"flagKey": "asked", "userId": "user-1"}
RunEdge = Callable[..., EdgeThread]


def _nobody() -> tuple[str, socket.socket]:
    """An address where nobody listens, as long as its socket is held."""
    holder = held_port()
    return f"http://127.0.0.1:{holder.getsockname()[1]}", holder


def _document(key: str, version: int = 3) -> dict[str, Any]:
    meta = {"organization": "acme", "project": "web", "key": "production", "salt": ""}
    return {"contract": 1, "environment": meta, "version": version, "flags": {key: treatment(key)}, "segments": {}}


def test_edge__body_that_is_no_request__is_400_everywhere(edge: EdgeThread) -> None:
    bodies = b"", b"{", b"\xff\xfe", b'{"flagKey": NaN}', b'"text"', b"null", b"[" * 2_000, b'{"userId": "\\ud800"}'
    paths = "/api/flags/evaluate", "/api/flags/evaluate/all", "/ofrep/v1/evaluate/flags/asked", "/api/stream/ack"
    for body in bodies:
        for path in paths:
            status, answer, _ = edge.ask("POST", path, body)
            assert (status, answer.get("errorCode", "PARSE_ERROR")) == (400, "PARSE_ERROR"), (path, body[:20])
    assert edge.ask("POST", "/api/flags/evaluate", ASKED)[0] == 200


def test_edge__acknowledgement_of_nothing__is_400_and_goes_no_further(
    edge: EdgeThread, platform: SmallPlatform
) -> None:
    for said in (
        {}, {"instance": "", "version": 1}, {"instance": "x" * 101, "version": 1}, {"instance": "a", "version": True},
        {"instance": "a", "version": -1}, {"instance": "a", "version": "1"}, {"instance": 1, "version": 1},
    ):  # fmt: skip
        assert edge.ask("POST", "/api/stream/ack", said)[0] == 400, said
    assert edge.ask("POST", "/api/stream/ack", {"instance": "a", "version": 1}, key=CLIENT_KEY)[0] == 403
    assert edge.ask("POST", "/api/stream/ack", {"instance": "good", "version": 1})[0] == 202
    eventually(lambda: "good" in {one["instance"] for one in platform.acknowledged})
    # Its own and that one.
    assert len({one["instance"] for one in platform.acknowledged}) <= 2


def test_edge__slow_caller__holds_up_nobody_and_is_answered_in_the_end(edge: EdgeThread) -> None:
    body = json.dumps(ASKED).encode()
    head = (
        f"POST /api/flags/evaluate HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: application/json\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", edge.port), timeout=60) as slow:
        slow.sendall(head.encode() + body[:9])
        for _ in range(20):
            assert edge.ask("POST", "/api/flags/evaluate", ASKED)[0] == 200
        slow.sendall(body[9:])
        answer = b"".join(iter(lambda: slow.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")

    with socket.create_connection(("127.0.0.1", edge.port), timeout=60) as gone:
        gone.sendall(head.encode() + body[:9])
    eventually(lambda: b'flagship_edge_requests_total{status="499"} 1.0' in edge.ask("GET", "/metrics")[1])


def test_read__caller_hangs_up_within_the_body__is_no_request() -> None:
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": b'{"events": []}', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    with pytest.raises(GoneError):
        asyncio.run(read_body(receive, 1_000))


def test_edge__configuration_taken_as_a_whole__is_settled_and_a_change_is_not() -> None:
    settled: list[int] = []

    async def live() -> None:
        options = {"bootstrap": _document("asked"), "close_wait_seconds": 0}
        environments = (EdgeEnvironment(server_key=KEY),)
        settings = EdgeSettings(url="http://127.0.0.1:1", environments=environments, options=options)
        edge = Edge(settings, lambda: settled.append(1))
        await edge.start()
        # Once as it starts, and once when the bootstrap is loaded.
        assert len(settled) == 2
        edge.sources[0].changed([ServerEvent("flag_updated", "{}", "4")])
        assert len(settled) == 2
        edge.sources[0].changed(None)
        assert len(settled) == 3
        await edge.stop()

    asyncio.run(live())


def test_listener__does_not_read__is_closed_and_takes_no_more_memory() -> None:
    async def overflow() -> Listener:
        listener = Listener()
        for _ in range(3 * MOST_EVENTS_WAITING):
            listener.offer(b"event")
        return listener

    listener = asyncio.run(overflow())
    assert listener.is_closed
    assert listener.queue.qsize() == MOST_EVENTS_WAITING + 1


def test_edge__unknown_and_odd_credentials__are_401(edge: EdgeThread) -> None:
    for key in ("", "fs_server_other", KEY + "x", KEY[:-1], "ü"):
        for path in ("/api/flags/evaluate", "/ofrep/v1/evaluate/flags", "/api/events/exposure"):
            assert edge.ask("POST", path, ASKED, key=key)[0] == 401, (key, path)
    assert edge.ask("POST", "/api/flags/evaluate", ASKED, key="other", X_API_Key=CLIENT_KEY)[0] == 401
    # A bearer without a secret is no credential, so the other header counts, as on the server.
    assert edge.ask("POST", "/api/flags/evaluate", ASKED, key="", X_API_Key=CLIENT_KEY)[0] == 200
    by_other_name = {"Authorization": "", "X_API_Key": CLIENT_KEY}
    assert edge.ask("POST", "/api/flags/evaluate", ASKED, **by_other_name)[0] == 200
    assert edge.ask("POST", "/api/flags/evaluate", ASKED, Authorization=f"bearer {KEY}")[0] == 200


def test_edge__header_that_cannot_be_passed_on__is_the_callers_mistake(
    edge: EdgeThread, platform: SmallPlatform
) -> None:
    status, answer, _ = edge.ask("POST", "/api/events/exposure", {"events": []}, Idempotency_Key="schlüssel")

    assert (status, answer["errors"][0]["code"]) == (400, "invalid")
    assert platform.events == []


def test_edge__key_revoked_at_the_server__evaluates_on_says_so_and_passes_the_refusal_of_events_back(
    edge: EdgeThread, platform: SmallPlatform
) -> None:
    eventually(lambda: platform.stream_count == 1)
    platform.fail = {"/api/stream": 401, "/api/snapshot": 401, "/api/events/conversion": 401}
    platform.end_streams()

    def problem() -> Any:
        return edge.ask("GET", "/readyz")[1]["environments"][0]["error"]

    assert "401" in str(eventually(problem))
    assert edge.ask("POST", "/api/flags/evaluate", ASKED)[1]["value"] is True
    assert edge.ask("POST", "/api/events/conversion", {"events": []})[0] == 401


def test_edge__server_was_never_there__is_unready_until_it_comes(
    platform: SmallPlatform, run_edge: RunEdge, tmp_path: Path
) -> None:
    (tmp_path / f"{name_of(KEY)}.json").write_text(json.dumps(_document("asked"))[:-40])
    platform.stop()
    edge = run_edge(platform.url, data_dir=tmp_path)
    assert edge.ask("GET", "/healthz")[0] == 200
    for method, path in (
        ("POST", "/api/flags/evaluate"), ("POST", "/ofrep/v1/evaluate/flags/asked"), ("GET", "/api/snapshot"),
        ("GET", "/api/stream"),
    ):  # fmt: skip
        status, _, headers = edge.ask(method, path, ASKED if method == "POST" else None)
        assert (status, headers["Retry-After"]) == (503, "1"), path
    assert edge.ask("GET", "/readyz")[0] == 503
    platform.start()

    eventually(edge.is_ready)
    assert edge.ask("POST", "/api/flags/evaluate", ASKED)[1]["value"] is True


def test_edge__two_environments__answer_each_to_their_own_keys(run_edge: RunEdge, tmp_path: Path) -> None:
    environments = []
    for name in ("a", "b"):
        server, client = f"fs_server_{name}", f"fs_client_{name}"
        environments.append(EdgeEnvironment(server_key=server, client_keys=(client,)))
        (tmp_path / f"{name_of(server)}.json").write_text(json.dumps(_document(f"only-{name}")))
    url, holder = _nobody()
    with holder:
        edge = run_edge(url, *environments, data_dir=tmp_path)
        eventually(edge.is_ready)
        for mine, other in (("a", "b"), ("b", "a")):
            for key in (f"fs_server_{mine}", f"fs_client_{mine}"):
                answer = edge.ask("POST", "/api/flags/evaluate/all", {"userId": "user-1"}, key=key)[1]
                assert list(answer["flags"]) == [f"only-{mine}"]
                unknown = edge.ask("POST", "/api/evaluate", {"flagKey": f"only-{other}", "userId": "u"}, key=key)
                assert unknown[0] == 404
            snapshot = edge.ask("GET", "/api/snapshot", key=f"fs_server_{mine}")[1]
            assert list(snapshot["flags"]) == [f"only-{mine}"]
        metrics = edge.ask("GET", "/metrics")[1]
        for name in ("a", "b"):
            assert f'config_version{{environment="{name_of(f"fs_server_{name}")}"}} 3.0'.encode() in metrics


def test_edge__sigterm_with_exposures_queued__sends_every_one(
    platform: SmallPlatform, start_edge: Callable[..., EdgeProcess]
) -> None:
    platform.flags = {"asked": treatment()}
    edge = start_edge(platform.url)
    eventually(edge.is_ready)
    given = []
    for number in range(200):
        answer = edge.ask("POST", "/api/flags/evaluate", {**ASKED, "userId": f"user-{number}"})[1]
        given.append(answer["evaluationId"])

    assert edge.close() in {0, -signal.SIGTERM}
    assert sorted(given) == sorted(event["evaluationId"] for event in platform.exposures())
