"""The `flagship` command, as a terminal runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sdk_fixtures import treatment
from small_platform import KEY, SmallPlatform, eventually


def run(platform: SmallPlatform, *arguments: str, key: str = KEY) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "openflagship.cli", "--url", platform.url, "--key", key, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
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


def test_snapshot_save__file__can_be_bootstrapped_from(platform: SmallPlatform, tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    done = run(platform, "snapshot", "save", str(path))

    assert done.returncode == 0, done.stderr
    assert json.loads(path.read_text())["flags"]["asked"]["key"] == "asked"


def test_watch__a_change__is_a_line(platform: SmallPlatform) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "openflagship.cli", "--url", platform.url, "--key", KEY, "watch", "--count", "1"],
        stdout=subprocess.PIPE,
        text=True,
    )
    eventually(lambda: platform.stream_count == 1, seconds=20)
    platform.change(treatment(enabled=False))
    output, _ = process.communicate(timeout=20)

    first, second = output.splitlines()
    assert first == "1\twatching 1 flags"
    assert second.startswith('2\tasked\t{"key": "asked"')
