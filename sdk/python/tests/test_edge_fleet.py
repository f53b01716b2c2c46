"""Several edge processes on one port."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from edge_process import EdgeProcess
from openflagship.edge import processes
from openflagship.edge.__main__ import main
from sdk_fixtures import treatment
from small_platform import SmallPlatform, eventually

_RUN = {"flagKey": "asked", "userId": "user-1"}


def _children(edge: EdgeProcess) -> dict[str, int]:
    """The processes that answer a scrape, each with how many requests it has had."""
    metrics = edge.ask("GET", "/metrics")[1].decode()
    found = re.findall(r'flagship_edge_ready\{environment="[^"]+",process="(\d+)"\} 1.0', metrics)
    counts = re.findall(r'flagship_edge_key_requests_total\{.*process="(\d+)"\} ([\d.]+)', metrics)
    return {number: int(float(dict(counts).get(number, 0))) for number in found}


def _pids(edge: EdgeProcess) -> set[int]:
    """The serving children: those that have the port's socket, so neither the parent nor its tracker."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                is_tracker = b"resource_tracker" in (entry / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == edge.process.pid and not is_tracker:
                found.add(int(entry.name))
    return found


def test_edge__of_two_processes__shares_the_port_and_starts_one_that_was_killed_again(
    platform: SmallPlatform, start_edge: Callable[..., EdgeProcess]
) -> None:
    platform.flags = {"asked": treatment()}
    edge = start_edge(platform.url, FLAGSHIP_EDGE_PROCESSES="2")
    eventually(lambda: edge.is_ready() and sorted(_children(edge)) == ["0", "1"])
    asked = 0
    # Each connection goes to one of two by chance: so many to the same one is a fault.
    while not all(_children(edge).values()) and asked < 100:
        assert edge.ask("POST", "/api/evaluate", _RUN)[0] == 200
        asked += 1
    assert all(_children(edge).values())
    assert sum(_children(edge).values()) == asked
    with pytest.raises(OSError, match="in use"):
        processes.check_free("127.0.0.1", edge.port)

    before = _pids(edge)
    assert len(before) == 2
    os.kill(min(before), signal.SIGKILL)
    eventually(lambda: len(_pids(edge) - before) == 1 and sorted(_children(edge)) == ["0", "1"])
    assert edge.ask("POST", "/api/evaluate", _RUN)[0] == 200

    live = _pids(edge)
    assert edge.close() == 0
    assert not [pid for pid in live if Path(f"/proc/{pid}").exists()]
    eventually(lambda: len(platform.exposures()) >= 1)


@pytest.mark.parametrize("text", ["two", "0", "257", "-1"])
def test_edge__processes_that_are_no_such_number__are_refused_by_the_variables_name(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("FLAGSHIP_EDGE_PROCESSES", text)
    monkeypatch.setattr(sys, "argv", ["openflagship-edge"])

    with pytest.raises(SystemExit, match="FLAGSHIP_EDGE_PROCESSES: give a number of processes from 1 to 256"):
        main()
