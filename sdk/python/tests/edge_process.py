"""Edges as processes for the tests, and requests to them."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openflagship.edge import Edge, EdgeEnvironment, EdgeSettings
from openflagship.edge.server import EdgeServer, configure
from sdk_fixtures import FAST, treatment
from small_platform import KEY, SmallPlatform, eventually, free_port

CLIENT_KEY = "fs_client_test"


class EdgeCaller:
    """Requests to a running edge."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # Where the edge speaks TLS.
        self.tls: ssl.SSLContext | None = None

    def ask(self, method: str, path: str, body: Any = None, *, key: str = KEY, **headers: str) -> tuple[int, Any, Any]:
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **named}
        request = urllib.request.Request(self.url + path, content, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60, context=self.tls) as response:
                return response.status, _decoded(response.read()), response.headers
        except urllib.error.HTTPError as error:
            return error.code, _decoded(error.read()), error.headers
        except OSError as error:
            return 0, str(error), {}

    def open(self, path: str, *, key: str = KEY, **headers: str) -> Any:
        """The answer itself, to read as it comes."""
        sent = {"Authorization": f"Bearer {key}", **headers}
        return urllib.request.urlopen(urllib.request.Request(self.url + path, headers=sent), timeout=60)

    def is_ready(self) -> bool:
        return self.ask("GET", "/readyz")[0] == 200


class EdgeProcess(EdgeCaller):
    """A process of its own."""

    def __init__(self, upstream: str, data_dir: Path, **environ: str) -> None:
        super().__init__()
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

    def close(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(90)


class EdgeThread(EdgeCaller):
    """An edge in a thread of the test's process, which starts in milliseconds."""

    def __init__(self, upstream: str, *environments: EdgeEnvironment, **settings: Any) -> None:
        super().__init__()
        given = {"options": {}, "keep_alive_seconds": 0.2, **settings}
        given["options"] = {**FAST, "start_wait_seconds": 0, "close_wait_seconds": 0, **given["options"]}
        if not environments and not given.get("credential"):
            environments = (EdgeEnvironment(server_key=KEY, client_keys=(CLIENT_KEY,)),)
        self.edge = Edge(EdgeSettings(url=upstream, environments=environments, **given))
        self._server = EdgeServer(configure(self.edge, host="127.0.0.1", port=self.port), self.edge)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        eventually(lambda: self._server.started)

    def states(self) -> dict[str, str]:
        """What each environment's state is, by its name."""
        return {one["name"]: one["state"] for one in self.ask("GET", "/readyz")[1]["environments"]}

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(60)


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
def run_edge() -> Iterator[Callable[..., EdgeThread]]:
    """Run edges of an upstream's address in threads."""
    running: list[EdgeThread] = []

    def _run(upstream: str, *environments: EdgeEnvironment, **settings: Any) -> EdgeThread:
        running.append(EdgeThread(upstream, *environments, **settings))
        return running[-1]

    yield _run
    for edge in reversed(running):
        edge.close()


@pytest.fixture
def edge(platform: SmallPlatform, run_edge: Callable[..., EdgeThread]) -> EdgeThread:
    """One of the platform's, which is ready."""
    platform.flags = {
        "asked": treatment(),
        "half": treatment("half", allocation=[[0, 5000, "treatment"]], metadata={"team": "web"}),
        "broken": {"key": "broken"},
    }
    running = run_edge(platform.url, origins=("https://shop.example.com",))
    eventually(running.is_ready)
    return running
