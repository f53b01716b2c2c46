"""An edge over TLS, towards its callers and towards its server."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import pytest
from edge_process import CLIENT_KEY, EdgeProcess
from openflagship import FlagShip
from sdk_fixtures import CERTIFICATE, FAST, treatment
from small_platform import KEY, SmallPlatform, eventually

StartEdge = Callable[..., EdgeProcess]
_ASKED = {"flagKey": "asked", "userId": "user-1"}


def _error(edge: EdgeProcess) -> str:
    status, body, _ = edge.ask("GET", "/readyz")
    return (body["environments"][0]["error"] or "") if status else ""


@pytest.mark.parametrize("processes", ["1", "2"])
def test_edge__with_a_certificate__answers_over_tls_alone(
    platform: SmallPlatform, start_edge: StartEdge, processes: str
) -> None:
    edge = start_edge(platform.url, FLAGSHIP_EDGE_TLS_CERTIFICATE=str(CERTIFICATE), FLAGSHIP_EDGE_PROCESSES=processes)
    plain, edge.url = edge.url, edge.url.replace("http:", "https:")
    edge.tls = ssl.create_default_context(cafile=str(CERTIFICATE))
    eventually(edge.is_ready)

    assert edge.ask("POST", "/api/evaluate", _ASKED, key=CLIENT_KEY)[1]["value"] is True
    with FlagShip(KEY, edge.url, ca_file=str(CERTIFICATE), **FAST) as client:
        eventually(lambda: client.status().connection == "streaming")
        platform.change(treatment(enabled=False))
        eventually(lambda: not client.is_enabled("asked", "user-1"))
    edge.url = plain
    assert edge.ask("GET", "/healthz")[0] == 0


def test_edge__server_with_a_certificate_of_its_own_authority__is_followed_by_the_file_and_by_nothing_else(
    secure: SmallPlatform, start_edge: StartEdge
) -> None:
    edge = start_edge(secure.url, FLAGSHIP_EDGE_CA_FILE=str(CERTIFICATE))
    eventually(edge.is_ready)
    secure.change(treatment(enabled=False))
    eventually(lambda: edge.ask("POST", "/api/evaluate", _ASKED)[1]["value"] is False)
    # What is passed on goes the same way.
    sent = {"events": [{"userId": "user-1", "eventName": "purchase"}]}
    assert edge.ask("POST", "/api/events/conversion", sent)[0] == 202

    other = start_edge(secure.url, "other")
    assert "certificate" in eventually(lambda: _error(other)).lower()
    assert other.ask("POST", "/api/evaluate", _ASKED)[0] == 503
