"""The plugin behind `make test`: what needs Chromium, Node, Go or PgBouncer is never left out in silence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SUITE = """
import pytest

@pytest.mark.browser
def test_in_a_browser():
    pass

@pytest.mark.node
def test_with_node():
    pass

@pytest.mark.go
def test_with_go():
    pass

@pytest.mark.pgbouncer
def test_with_a_pooler():
    pass

@pytest.mark.namespaces
def test_with_namespaces():
    pass

def test_of_python():
    pass
"""


@pytest.fixture
def run_suite(tmp_path):
    (tmp_path / "test_suite.py").write_text(SUITE)
    marks = "".join(f"\n    {mark}" for mark in ("browser", "node", "go", "pgbouncer", "namespaces"))
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nmarkers ={marks}\n")

    def run(*programs: str, ci: str, go: str = "1.25.2") -> subprocess.CompletedProcess[str]:
        says = {"node": "v20.19.0", "go": f"go version go{go} linux/amd64"}
        folder = tmp_path / "programs"
        folder.mkdir()
        for program in programs:
            (folder / program).write_text(f"#!/bin/sh\necho {says.get(program, '')}\n")
            (folder / program).chmod(0o755)
        # No plugin but these: loading all that are installed takes longer than the tests.
        command = [sys.executable, "-m", "pytest", "-p", "xdist", "-p", "flagship.tests.tools"]
        return subprocess.run(
            [*command, "-c", str(tmp_path / "pytest.ini"), "-n", "2", str(tmp_path)],
            cwd=REPOSITORY,
            env={**os.environ, "PATH": str(folder), "CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            check=False,
            text=True,
        )

    return run


def test_tools__all_there__everything_runs(run_suite):
    # A program called `ip` that does nothing is taken for one that makes namespaces.
    finished = run_suite("chromium-headless-shell", "node", "npm", "go", "pgbouncer", "alertmanager", "ip", ci="true")
    assert "6 passed" in finished.stdout
    assert "NOT RUN" not in finished.stdout


def test_tools__missing_on_a_laptop__says_how_many_tests_did_not_run(run_suite):
    finished = run_suite("node", "npm", "go", "pgbouncer", "alertmanager", ci="", go="1.22.9")
    assert finished.returncode == 0
    assert "3 passed, 3 skipped" in finished.stdout
    assert "NOT RUN: 1 tests need Go 1.25 or newer, which this machine lacks" in finished.stdout
    assert "NOT RUN: 1 tests need Chromium, which this machine lacks" in finished.stdout
    assert "NOT RUN: 1 tests need network namespaces, which this machine lacks" in finished.stdout


def test_tools__missing_under_ci__fails(run_suite):
    finished = run_suite(ci="true")
    assert finished.returncode != 0
    lacking = "Chromium and Node.js 20 or newer, with npm and Go 1.25 or newer and PgBouncer and Alertmanager"
    assert f"{lacking} and Node 20 and Node 22 and Node 24 cannot be found" in finished.stderr
    assert "passed" not in finished.stdout
