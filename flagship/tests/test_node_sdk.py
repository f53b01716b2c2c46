"""The SDKs for Node and the browser: their own tests by Node's runner, their types, parity with the Python engine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from flagship.tests.generated_pairs import write_pairs
from sdk.conformance.javascript import SDK, build

pytestmark = pytest.mark.node

# `NODE_PARITY_PAIRS=20000 pytest flagship/tests/test_node_sdk.py -k parity` before a release.
PAIRS = int(os.environ.get("NODE_PARITY_PAIRS", "2000"))


def _run(*command: str, folder: Path = SDK) -> str:
    build()
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]
    return done.stdout


def test_sdks__their_own_tests__pass() -> None:
    _run("npm", "test", "--silent")


def test_sdks__types__are_strict_and_hold() -> None:
    _run("npm", "run", "--silent", "check")


def test_engine__parity__every_generated_pair_has_the_python_engines_answer(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    count = write_pairs(pairs, PAIRS, seed=20_260_102)

    assert int(_run("node", "node/tests/parity.mjs", str(pairs))) == count
