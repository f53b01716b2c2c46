"""The SDK for Go: its own tests, its form, and parity with the Python engine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from flagship.tests.generated_pairs import write_pairs
from sdk.conformance.golang import GRPC, PROGRAM, SDK, build

pytestmark = [pytest.mark.go, pytest.mark.xdist_group("go")]

# `GO_PARITY_PAIRS=20000 pytest flagship/tests/test_go_sdk.py -k parity` before a release.
PAIRS = int(os.environ.get("GO_PARITY_PAIRS", "2000"))


def _run(*command: str, folder: Path = SDK) -> str:
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.parametrize("folder", [SDK, SDK / "openfeature", GRPC], ids=["sdk", "openfeature", "grpctransport"])
def test_module__its_own_tests_and_vet__find_nothing(folder):
    _run("go", "test", "-vet=off", "./...", folder=folder)
    _run("go", "vet", "./...", folder=folder)


def test_modules__gofmt__finds_nothing():
    assert _run("gofmt", "-l", ".") == ""


def test_engine__parity__every_generated_pair_has_the_python_engines_answer(tmp_path):
    build()
    pairs = tmp_path / "pairs.jsonl"
    count = write_pairs(pairs, PAIRS, seed=20_260_103)

    assert int(_run(str(PROGRAM), str(pairs))) == count
