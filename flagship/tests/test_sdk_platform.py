"""The SDK and the edge against the running platform: kills heard, events stored, versions acknowledged."""

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import urllib3
from openflagship import FlagShip, Status
from openflagship.engine import Answer

from flagship.tests.stack import Stack, eventually, running_edge

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("stack")]


@pytest.fixture
def client(stack: Stack) -> Iterator[FlagShip]:
    """It finds the stream, which another process serves at another port, by itself."""
    with FlagShip(
        stack.demo["serverKey"],
        stack.demo["baseUrl"],
        flush_seconds=0.2,
        start_wait_seconds=60,
        connect_seconds=60,
        close_wait_seconds=60,
    ) as made:
        yield made


@pytest.fixture
def edge_url(stack: Stack, tmp_path: Path) -> Iterator[str]:
    with running_edge(
        FLAGSHIP_EDGE_URL=stack.demo["baseUrl"],
        FLAGSHIP_EDGE_STREAM_URL=stack.demo["streamUrl"],
        FLAGSHIP_EDGE_KEYS=stack.demo["serverKey"],
        FLAGSHIP_EDGE_DATA_DIR=str(tmp_path),
    ) as url:
        yield url


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
    http = urllib3.PoolManager(retries=False, timeout=90)
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


def _flagship(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The `flagship` command, as an operator has it set up."""
    variables = {
        "FLAGSHIP_URL": stack.demo["baseUrl"],
        "FLAGSHIP_STREAM_URL": stack.demo["streamUrl"],
        "FLAGSHIP_SERVER_KEY": stack.demo["serverKey"],
        "FLAGSHIP_TOKEN": stack.demo["managementToken"],
        "FLAGSHIP_ORGANIZATION": stack.demo["organization"],
        "FLAGSHIP_ENVIRONMENT": stack.demo["environment"],
    }
    return subprocess.run(
        [sys.executable, "-m", "openflagship.cli", "--wait", "60", *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def test_command__kill_and_release__are_the_platforms(stack: Stack, client: FlagShip) -> None:
    killed = _flagship(stack, "kill", "dark-mode", "--reason", "from the terminal")
    assert killed.returncode == 0, killed.stderr
    assert killed.stdout.startswith("dark-mode: killed in version ")
    eventually(lambda: client.variation_detail("dark-mode", "user-1").reason == "KILL_SWITCH", what="the kill")
    assert "dark-mode\tboolean\tkilled" in _flagship(stack, "flags", "list").stdout.splitlines()

    released = _flagship(stack, "kill", "dark-mode", "--release")
    assert released.returncode == 0, released.stderr
    eventually(lambda: client.variation_detail("dark-mode", "user-1").reason != "KILL_SWITCH", what="the release")


_ROTATE = """
from audit.actors import Actor
from flags.services.signing import rotate_signing_key
from flags.propagation.signing import signing_key
from tenancy.models import Credential, Environment
environment = Environment.objects.get(
    key={environment!r}, project__organization__slug={organization!r}, project__key={project!r})
actor = Actor(kind="system", id="", label="test")
for generation in rotate_signing_key(actor=actor, environment=environment).generations:
    print(signing_key(environment.pk, generation).secret)
"""


def _rotated_secrets(stack: Stack) -> list[str]:
    """Rotate the environment's secret: the new one, and the one before it, which is honoured still."""
    names = {name: stack.demo[name] for name in ("environment", "organization", "project")}
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_", "REDIS_"))}
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-v0", "-c", _ROTATE.format(**names)],
        cwd=ROOT,
        env={**variables, "FLAGSHIP_VAR_DIR": str(stack.var_dir), "REDIS_PREFIX": "flagship"},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def _status(stack: Stack, secret: str) -> Status:
    """Of a client with that secret, once it has a configuration or knows why not."""
    with FlagShip(
        stack.demo["serverKey"],
        stack.demo["baseUrl"],
        stream_url=stack.demo["streamUrl"],
        signing_secret=secret,
        start_wait_seconds=0,
        connect_seconds=60,
    ) as client:
        eventually(lambda: client.status().is_ready or client.status().error, what="an answer")
        return client.status()


def test_signing_secret__right_previous_and_wrong__are_told_apart(stack: Stack) -> None:
    current, previous = _rotated_secrets(stack)

    eventually(lambda: _status(stack, current).is_ready, what="a snapshot signed with the new secret")
    assert _status(stack, previous).is_ready
    wrong = _status(stack, "fs_sign_wrong")
    assert (wrong.is_ready, "signature" in (wrong.error or "")) == (False, True)
