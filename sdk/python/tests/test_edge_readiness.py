"""What `/readyz` says of an edge with a credential: what it is refused, and which signing secret is for nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from configured_edges import BLOG, CLIENT, EDGE, OTHER, SERVER, WEB, edges, told
from edge_process import EdgeThread
from openflagship.edge.source import EdgeClient
from small_platform import KEY, SmallPlatform, eventually

RunEdge = Callable[..., EdgeThread]


def _said(edge: EdgeThread, status: str) -> Any:
    """What `/readyz` says of the configuration, once it has this status as a whole."""
    return eventually(lambda: (body := edge.ask("GET", "/readyz")[1])["status"] == status and body["configuration"])


def test_readyz__a_signing_secret_for_what_is_not_served__says_so_until_it_is(
    configured: SmallPlatform, run_edge: RunEdge, caplog: pytest.LogCaptureFixture
) -> None:
    secrets = {"web/prodution": "s3cret", BLOG: "secret-blog"}
    edge = run_edge(configured.url, credential=EDGE, signing_secrets=secrets)

    assert _said(edge, "degraded")["unservedSecrets"] == [BLOG, "web/prodution"]
    assert edge.ask("GET", "/readyz")[0] == 200
    assert edge.ask("GET", f"/readyz?environment={WEB}")[1]["status"] == "ready"
    (told_of,) = {record.getMessage() for record in caplog.records if "SIGNING_SECRETS" in record.getMessage()}
    assert "blog/production, web/prodution" in told_of
    assert "s3cret" not in told_of
    # The one is served from now on; the other is still a mistake.
    configured.others[f"{EDGE}~{BLOG}"] = "secret-blog"
    both = [{"name": WEB, "keys": [told(SERVER)]}, {"name": BLOG, "keys": [told(OTHER)]}]
    configured.tell_edges(both, edges())
    eventually(lambda: edge.states() == {WEB: "ready", BLOG: "ready"})
    assert _said(edge, "degraded")["unservedSecrets"] == ["web/prodution"]


def test_readyz__each_signing_secret_is_of_what_is_served__is_ready(
    configured: SmallPlatform, run_edge: RunEdge
) -> None:
    configured.others[f"{EDGE}~{WEB}"] = "s3cret"
    edge = run_edge(configured.url, credential=EDGE, signing_secrets={WEB: "s3cret"})

    assert _said(edge, "ready")["unservedSecrets"] == []


def test_readyz__credential_is_refused__is_failing_with_the_reason(
    configured: SmallPlatform, run_edge: RunEdge
) -> None:
    configured.others, configured.reason = {}, "The credential is unknown, expired or revoked."
    edge = run_edge(configured.url, credential=EDGE)
    said = _said(edge, "failing")

    assert (edge.ask("GET", "/readyz")[0], said["connection"]) == (503, "refused")
    assert configured.reason in said["error"]
    # A credential that is taken later on needs no new start.
    configured.others = dict.fromkeys((f"{EDGE}~{WEB}", EDGE), "")
    assert _said(edge, "ready")["error"] is None


def test_readyz__credential_names_no_environment__is_failing_with_the_reason(
    configured: SmallPlatform, run_edge: RunEdge
) -> None:
    configured.tell_edges([], edges())
    edge = run_edge(configured.url, credential=EDGE)
    said = _said(edge, "failing")

    assert said["connection"] in {"starting", "streaming"}
    assert "names no environment" in said["error"]
    configured.tell_edges([{"name": WEB, "keys": [told(CLIENT)]}], edges())
    assert _said(edge, "ready")["error"] is None


def test_environment__published_over_plain_http_without_a_secret__does_not_begin_with_that(
    configured: SmallPlatform, run_edge: RunEdge, caplog: pytest.LogCaptureFixture
) -> None:
    edge = run_edge(
        configured.url,
        credential=EDGE,
        snapshot_url="http://bucket.invalid/{name}.json",
        signing_secrets={BLOG: "secret-blog"},
    )

    eventually(lambda: edge.states() == {WEB: "ready"})
    assert any(WEB in text and "SNAPSHOT_URL" in text for text in (record.getMessage() for record in caplog.records))


def test_edge_client__asked_for_its_state_before_it_starts__says_nothing_in_the_log(
    platform: SmallPlatform, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert EdgeClient(KEY, platform.url).status().connection == "not_started"

    assert caplog.records == []
