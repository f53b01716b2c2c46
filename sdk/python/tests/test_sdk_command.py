"""The `flagship` command, as a terminal runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openflagship.cli import main, watch
from openflagship.client.transport.sse import ServerEvent
from openflagship.engine import CompiledEnvironment
from openflagship.testing import offline
from sdk_fixtures import treatment
from small_platform import KEY, SmallPlatform, eventually

from sdk.conformance.endpoints import Endpoints

COMMAND = [sys.executable, "-W", "error", "-m", "openflagship.cli", "--wait", "60"]


def run(platform: SmallPlatform, *arguments: str, key: str = KEY) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "--url", platform.url, "--key", key, *arguments],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def test_flags_list__lines_and_documents(platform: SmallPlatform) -> None:
    platform.change(treatment("dark", enabled=False))
    platform.change(treatment("gone", killSwitchVariant="control"))
    lines = run(platform, "flags", "list").stdout.splitlines()

    assert lines == ["asked\tboolean\ton", "dark\tboolean\toff", "gone\tboolean\tkilled"]
    assert len(json.loads(run(platform, "flags", "list", "--json").stdout)) == 3


def test_evaluate__says_value_and_reason_and_logs_no_exposure(platform: SmallPlatform) -> None:
    done = run(platform, "evaluate", "asked", "--user", "user-1", "--attributes", '{"country": "DE"}')

    assert (done.returncode, json.loads(done.stdout)["reason"]) == (0, "ROLLOUT")
    assert platform.events == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["evaluate", "nope"], "FLAG_NOT_FOUND"),
        (["evaluate", "asked", "--attributes", "{"], "no JSON"),
        (["evaluate", "asked", "--attributes", "[]"], "no object"),
        (["kill", "asked"], "FLAGSHIP_TOKEN"),
        (["kill", "asked", "--token", "wrong", "--variant", "control"], "401"),
    ],
)
def test_command__that_cannot_be_done__says_why_in_one_line(
    platform: SmallPlatform, arguments: list[str], said: str
) -> None:
    done = run(platform, *arguments)

    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("body", [b"<html>", b"[1]", b'{"errors": ["no"]}', b'{"errors": 7}', b"[" * 100_000, b""])
def test_kill__another_servers_answer__is_said_in_one_line(
    status: int, body: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Endpoints()
    server.always["/api/flags/asked?"] = lambda call: call.respond(status, body)
    ended = main(["--url", server.url, "kill", "asked", "--token", "fs_manage_x"])
    server.close()

    assert ended == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert server.url in said or f"{status}: no reason given" in said


def test_snapshot_save__file__can_be_bootstrapped_from(platform: SmallPlatform, tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    done = run(platform, "snapshot", "save", str(path))

    assert done.returncode == 0, done.stderr
    assert json.loads(path.read_text())["flags"]["asked"]["key"] == "asked"


def test_watch__a_change__is_a_line(platform: SmallPlatform, tmp_path: Path) -> None:
    said = tmp_path / "said"
    with said.open("w") as output:
        process = subprocess.Popen(
            [*COMMAND, "--url", platform.url, "--key", KEY, "watch", "--count", "2"], stdout=output
        )
    try:
        eventually(lambda: said.read_text() == "1\twatching 1 flags\n")
        platform.change(treatment(enabled=False))
        eventually(lambda: said.read_text().count("\n") == 2)
        platform.archive("asked")
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait(60)

    _, changed, archived = said.read_text().splitlines()
    assert changed.startswith("2\tasked\t{")
    assert json.loads(changed.split("\t")[2])["key"] == "asked"
    assert archived == "3\tasked\tnull"


def test_watch__changes_before_and_while_it_begins__are_told_once() -> None:
    """The configuration is followed from the start, so a change may come before the command has asked for changes."""
    client = offline()
    said: list[str] = []
    listen = client.on_configuration

    def apply(version: int, flag: dict[str, Any]) -> None:
        client._configuration.apply([ServerEvent("flag_updated", json.dumps(flag), str(version))])
        client._configuration.announcer.deliver()

    def listen_late(listener: Callable[[frozenset[str] | None, CompiledEnvironment], None]) -> Callable[[], None]:
        apply(1, treatment())
        end = listen(listener)
        apply(2, treatment(enabled=False))
        apply(3, treatment(name="third"))
        return end

    def say(line: str) -> None:
        said.append(line)
        if len(said) == 1:
            apply(4, treatment(name="fourth"))

    client.on_configuration = listen_late  # type: ignore[method-assign]  # the moments between two lines of the command
    watch(client, say, count=1)

    assert said[0] == "3\twatching 1 flags"
    assert said[1].startswith("4\tasked\t{")
    assert json.loads(said[1].split("\t")[2])["name"] == "fourth"
    assert len(said) == 2
