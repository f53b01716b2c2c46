"""Edges as processes for the tests, and requests to them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sdk_fixtures import treatment
from small_platform import KEY, SmallPlatform, eventually, free_port

CLIENT_KEY = "fs_client_test"


class EdgeProcess:
    """A running edge, and requests to it."""

    def __init__(self, upstream: str, data_dir: Path, **environ: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        keys = json.dumps([{"serverKey": KEY, "clientKeys": [CLIENT_KEY]}])
        given = {
            "FLAGSHIP_EDGE_URL": upstream,
            "FLAGSHIP_EDGE_KEYS": keys,
            "FLAGSHIP_EDGE_DATA_DIR": str(data_dir),
            **environ,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "openflagship.edge", "--port", str(self.port)],
            env={**os.environ, **given}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def ask(self, method: str, path: str, body: Any = None, *, key: str = KEY, **headers: str) -> tuple[int, Any, Any]:
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **named}
        request = urllib.request.Request(self.url + path, content, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, _decoded(response.read()), response.headers
        except urllib.error.HTTPError as error:
            return error.code, _decoded(error.read()), error.headers
        except OSError as error:
            return 0, str(error), {}

    def is_ready(self) -> bool:
        return self.ask("GET", "/readyz")[0] == 200

    def close(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(90)


def _decoded(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content


@pytest.fixture
def start_edge(tmp_path: Path) -> Iterator[Callable[..., EdgeProcess]]:
    """Start edges of an upstream's address, each with its own folder for snapshots."""
    started: list[EdgeProcess] = []

    def _start(upstream: str, name: str = "edge", **environ: str) -> EdgeProcess:
        started.append(EdgeProcess(upstream, tmp_path / name, **environ))
        return started[-1]

    yield _start
    for edge in started:
        if edge.process.poll() is None:
            edge.close()


@pytest.fixture
def edge(platform: SmallPlatform, start_edge: Callable[..., EdgeProcess]) -> EdgeProcess:
    """One of the platform's, which is ready."""
    platform.flags = {
        "asked": treatment(),
        "half": treatment("half", allocation=[[0, 5000, "treatment"]], metadata={"team": "web"}),
        "broken": {"key": "broken"},
    }
    running = start_edge(platform.url, FLAGSHIP_EDGE_ORIGINS="https://shop.example.com")
    eventually(running.is_ready)
    return running
