"""OFREP's event stream on an edge stands for the key whose bulk evaluation named it, and ends with that key."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from configured_edges import CLIENT, EDGE, OTHER, SERVER, WEB, edges, told
from edge_process import CLIENT_KEY, EdgeThread
from sdk_fixtures import treatment
from small_platform import SmallPlatform, eventually

RunEdge = Callable[..., EdgeThread]


def _named(edge: EdgeThread, key: str) -> str:
    """The stream's address, as a bulk evaluation with the key names it."""
    bulk = edge.ask("POST", "/ofrep/v1/evaluate/flags", {"context": {"targetingKey": "u"}}, key=key)[1]
    return str(bulk["eventStreams"][0]["endpoint"]["requestUri"])


def _opens(edge: EdgeThread, path: str) -> bool:
    return edge.ask("HEAD", path, key="")[0] == 200


def test_stream__key_is_revoked__ends_and_its_token_opens_no_other(
    configured: SmallPlatform, run_edge: RunEdge
) -> None:
    configured.tell_edges([{"name": WEB, "keys": [told(CLIENT), told(OTHER)]}], edges(WEB))
    # Without a keep-alive in the test's time: nothing but the revocation ends the stream.
    edge = run_edge(configured.url, credential=EDGE, keep_alive_seconds=600.0)
    eventually(lambda: edge.states() == {WEB: "ready"})
    path, others = _named(edge, CLIENT), _named(edge, OTHER)
    assert all(secret not in path for secret in (CLIENT, EDGE, SERVER))
    with edge.open(path) as stream, edge.open(others) as other:
        configured.tell_edges([{"name": WEB, "keys": [told(OTHER)]}], edges(WEB))
        stream.read()  # it has ended
        configured.change(treatment(enabled=False))
        eventually(lambda: b"refetchEvaluation" in other.readline())

    assert edge.ask("GET", path, key="")[0] == 401
    assert _opens(edge, others)


def test_stream__key_expires__ends_and_its_token_opens_no_other(configured: SmallPlatform, run_edge: RunEdge) -> None:
    edge = run_edge(configured.url, credential=EDGE)
    eventually(lambda: edge.states() == {WEB: "ready"})
    path = _named(edge, CLIENT)
    with edge.open(path) as stream:
        expiring = told(CLIENT, expiresAt=time.time() + 0.5)
        configured.tell_edges([{"name": WEB, "keys": [expiring]}], edges(WEB))
        stream.read()  # it has ended

    assert edge.ask("GET", path, key="")[0] == 401


def test_stream__token_of_another_edge_of_the_same_credential__is_good_as_long_as_the_key_is(
    configured: SmallPlatform, run_edge: RunEdge
) -> None:
    first, second = (run_edge(configured.url, credential=EDGE) for _ in range(2))
    for edge in (first, second):
        eventually(lambda edge=edge: edge.states() == {WEB: "ready"})
    path = _named(first, CLIENT)
    # A further edge asks with this credential, and the environment behind it.
    of_edge = _named(first, f"{EDGE}~{WEB}")
    assert _opens(second, path)
    assert _opens(second, of_edge)
    configured.tell_edges([{"name": WEB, "keys": [told(SERVER)]}], [told(EDGE, environments=[])])

    for named in (path, of_edge):
        eventually(lambda named=named: second.ask("GET", named, key="")[0] == 401)


@pytest.mark.parametrize("change", ["fs_client_unknown", "", "fs_client_eeeeeeee", "a~b"])
def test_stream__token_whose_subject_was_altered__is_refused(edge: EdgeThread, change: str) -> None:
    path = _named(edge, CLIENT_KEY)
    subject = path.partition("token=")[2].partition(".")[0]
    environment = subject.partition("~")[0]

    assert _opens(edge, path)
    assert edge.ask("GET", path.replace(subject, f"{environment}~{change}"), key="")[0] == 401
