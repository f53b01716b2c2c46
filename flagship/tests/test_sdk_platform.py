"""The SDK and the edge against the running platform: kills heard, events stored, versions acknowledged."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import urllib3
from openflagship import FlagShip
from openflagship.engine import Answer

from flagship.tests.stack import Stack, eventually, free_port

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("stack")]


@pytest.fixture
def client(stack: Stack) -> Iterator[FlagShip]:
    with FlagShip(
        stack.demo["serverKey"],
        stack.demo["baseUrl"],
        stream_url=stack.demo["streamUrl"],
        flush_seconds=0.2,
        start_wait_seconds=60,
        connect_seconds=60,
        close_wait_seconds=60,
    ) as made:
        yield made


@pytest.fixture
def edge_url(stack: Stack, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    variables = {
        "FLAGSHIP_EDGE_URL": stack.demo["baseUrl"],
        "FLAGSHIP_EDGE_STREAM_URL": stack.demo["streamUrl"],
        "FLAGSHIP_EDGE_KEYS": stack.demo["serverKey"],
        "FLAGSHIP_EDGE_DATA_DIR": str(tmp_path),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "openflagship.edge", "--port", str(port)], env={**os.environ, **variables}
    )
    url = f"http://127.0.0.1:{port}"
    eventually(lambda: _is_ready(url), what="the edge is ready")
    yield url
    process.send_signal(signal.SIGTERM)
    process.wait(60)


def _is_ready(url: str) -> bool:
    try:
        return urllib3.request("GET", url + "/readyz", timeout=10, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def _by_one_version(stack: Stack, client: FlagShip, user: str) -> tuple[Answer, dict[str, Any]] | None:
    """What SDK and platform say; nothing while one of them, or one of the web workers, is a change ahead."""
    theirs = stack.evaluate(user)
    ours = client.variation_detail("new-checkout", user)
    return (ours, theirs) if ours.config_version == theirs["configVersion"] else None


def test_sdk__five_hundred_users__the_platforms_own_answers(stack: Stack, client: FlagShip) -> None:
    for number in range(500):
        ours, theirs = eventually(partial(_by_one_version, stack, client, f"sdk-{number}"), what="one version in both")
        assert (ours.value, ours.variant, ours.reason) == (theirs["value"], theirs["variant"], theirs["reason"])


def test_sdk__kill_and_release__are_heard_over_the_stream(stack: Stack, client: FlagShip) -> None:
    eventually(lambda: client.status().connection == "streaming", what="the stream")
    killed = stack.manage("POST", "/api/flags/dark-mode/kill", {"variant": "control", "reason": "sdk drill"})
    assert killed.status == 202, killed.data
    eventually(
        lambda: client.variation_detail("dark-mode", "user-1").reason == "KILL_SWITCH",
        what="the kill in the SDK",
    )
    assert stack.manage("POST", "/api/flags/dark-mode/kill/release", {}).status == 202
    eventually(
        lambda: client.variation_detail("dark-mode", "user-1").reason != "KILL_SWITCH",
        what="the release in the SDK",
    )


def test_sdk__exposure_and_conversion__are_rows(stack: Stack, client: FlagShip) -> None:
    client.is_enabled("new-checkout", "sdk-row")
    client.track("purchase", "sdk-row", 9.5)
    assert client.flush(60)

    eventually(lambda: stack.rows("SELECT 1 FROM exposures WHERE unit_id = 'sdk-row'"), what="the exposure's row")
    eventually(lambda: stack.rows("SELECT 1 FROM conversions WHERE unit_id = 'sdk-row'"), what="the conversion's row")
    assert client.status().events_rejected == 0


def test_edge__evaluation__is_the_platforms_answer_and_its_exposure_a_row(stack: Stack, edge_url: str) -> None:
    http = urllib3.PoolManager(retries=False, timeout=10)
    headers = {"Authorization": f"Bearer {stack.demo['serverKey']}"}
    for number in range(50):
        body = {"flagKey": "new-checkout", "userId": f"edge-{number}"}
        answer = http.request("POST", edge_url + "/api/evaluate", json=body, headers=headers).json()
        theirs = stack.evaluate(f"edge-{number}")
        volatile = {"evaluationId", "configVersion"}
        assert {name: answer[name] for name in answer if name not in volatile} == {
            name: theirs[name] for name in theirs if name not in volatile
        }
    eventually(
        lambda: stack.rows("SELECT 1 FROM exposures WHERE evaluation_id = %s", answer["evaluationId"]),
        what="the edge's exposure",
    )
