"""The pytest plugin for tests that need more than Python: they are skipped aloud where it is missing.

Loaded by `make test`. Chromium (`browser`), Node (`node`), each version of Node that the SDK is held to (`node_20` and
so on; npm brings them), Go (`go`), PgBouncer (`pgbouncer`) and Alertmanager (`alertmanager`) must be there under CI.
Network namespaces (`namespaces`) need root and a container that allows them, which no installation brings. Maven
(`maven`), for one test of another's client, is used where it is there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import ExitStack
from functools import cache

import pytest

from flags.testing.network import made_before
from sdk.conformance import chromium, javascript

TOOLS = {
    "browser": "Chromium",
    "node": "Node.js 20 or newer, with npm",
    "go": "Go 1.25 or newer",
    "pgbouncer": "PgBouncer",
    "alertmanager": "Alertmanager",
}
NAMESPACES = "network namespaces"
# As many as one test file has hosts that vanish; those files are of one worker.
_PLACES = 3
MAVEN = "Maven with Java 17 or newer"
_ALERTMANAGERS = ("prometheus-alertmanager", "alertmanager")


def missing() -> dict[str, str]:
    """Mark to tool, for every tool that is not on the path, or too old."""
    there = {
        "browser": chromium.path() is not None,
        "node": shutil.which("npm") is not None and _version(r"v(\d+)", "node", "--version") >= (20,),
        "go": _version(r"go version go(\d+)\.(\d+)", "go", "version") >= (1, 25),
        "pgbouncer": shutil.which("pgbouncer") is not None,
        "alertmanager": any(map(shutil.which, _ALERTMANAGERS)),
    }
    found = {mark: tool for mark, tool in TOOLS.items() if not there[mark]}
    return found | {f"node_{version}": f"Node {version}" for version in javascript.missing_versions()}


@cache
def _version(pattern: str, *command: str) -> tuple[int, ...]:
    """What a program says of its version; nothing where there is none."""
    if shutil.which(command[0]) is None:
        return ()
    found = re.match(pattern, subprocess.run(command, capture_output=True, check=False, text=True).stdout)
    return tuple(map(int, found.groups())) if found else ()


@cache
def can_make_namespaces() -> bool:
    """Whether this process may make a network namespace and a link into it."""
    if shutil.which("ip") is None:
        return False
    name = f"probe{os.getpid()}"
    commands = (["netns", "add", name], ["link", "add", name, "type", "veth", "peer", "name", "inside", "netns", name])
    try:
        return all(subprocess.run(["ip", *one], capture_output=True, check=False).returncode == 0 for one in commands)
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def pytest_configure(config: pytest.Config) -> None:
    is_worker = hasattr(config, "workerinput")
    if missing() and os.environ.get("CI") == "true" and not is_worker:
        raise pytest.UsageError(f"CI has to run every test, but {' and '.join(missing().values())} cannot be found.")
    if not is_worker and getattr(config.option, "numprocesses", None) and can_make_namespaces():
        places = ExitStack()
        places.enter_context(made_before(_PLACES))
        config.add_cleanup(places.close)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    apart = [item for item in items if item.get_closest_marker("namespaces")]
    if apart and not can_make_namespaces():
        for item in apart:
            item.add_marker(pytest.mark.skip(reason=f"no {NAMESPACES} here"))
    for mark, tool in {**missing(), **({} if shutil.which("mvn") else {"maven": MAVEN})}.items():
        for item in items:
            if item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=f"no {tool} here"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = terminalreporter.getreports("skipped")
    for tool in (*missing().values(), NAMESPACES, MAVEN):
        count = sum(f"no {tool} here" in str(report.longrepr) for report in reports)
        if tool in {NAMESPACES, MAVEN} and count == 0:
            continue
        terminalreporter.section(f"NOT RUN: {count} tests need {tool}, which this machine lacks", yellow=True)
