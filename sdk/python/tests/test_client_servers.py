"""Under the servers whose workers silence other SDKs: gunicorn with a preloaded application, and gevent."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from sdk_fixtures import treatment
from small_platform import KEY, SmallPlatform, eventually


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def service(platform: SmallPlatform, tmp_path: Path) -> Path:
    """A WSGI application with a client at module level."""
    (tmp_path / "service.py").write_text(
        textwrap.dedent(
            f"""
            import json, os, threading
            from openflagship import FlagShip

            flags = FlagShip({KEY!r}, {platform.url!r}, flush_seconds=0.1)

            def application(environ, start_response):
                status = flags.status()
                value = flags.is_enabled("asked", environ["PATH_INFO"][1:])
                start_response("200 OK", [("Content-Type", "application/json")])
                return [json.dumps([value, status.connection, os.getpid(), status.instance]).encode()]
            """
        )
    )
    return tmp_path


@pytest.fixture(params=["sync", "gevent"])
def url(request: pytest.FixtureRequest, service: Path) -> Iterator[str]:
    port = free_port()
    server = subprocess.Popen(
        [
            sys.executable, "-m", "gunicorn", "service:application", "--preload", "--workers", "2",
            "--worker-class", request.param, "--bind", f"127.0.0.1:{port}", "--log-level", "warning",
        ],
        cwd=service, env={**os.environ, "PYTHONPATH": str(service)}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    yield f"http://127.0.0.1:{port}"
    os.killpg(server.pid, signal.SIGTERM)
    server.wait(20)


def ask(url: str, user: str) -> list[object] | None:
    try:
        with urllib.request.urlopen(f"{url}/{user}", timeout=5) as response:
            found: list[object] = json.load(response)
            return found
    except OSError:
        return None


def test_gunicorn__preloaded__every_worker_follows_and_sends(url: str, platform: SmallPlatform) -> None:
    eventually(lambda: ask(url, "first"), seconds=30)
    seen: dict[object, object] = {}

    def both_stream() -> bool:
        answer = ask(url, f"user-{len(platform.events)}")
        if answer is not None and answer[1] == "streaming":
            seen[answer[2]] = answer[3]
        return len(seen) == 2

    eventually(both_stream, seconds=30)
    platform.change(treatment(enabled=False))
    eventually(lambda: all((ask(url, "later") or [True])[0] is False for _ in range(20)), seconds=10)
    eventually(lambda: set(seen.values()) <= {said["instance"] for said in platform.acknowledged})
    eventually(lambda: "later" in {event["userId"] for event in platform.exposures()})

    assert len(set(seen.values())) == 2


def test_gevent__patched_process__evaluates_follows_and_flushes(platform: SmallPlatform, tmp_path: Path) -> None:
    script = tmp_path / "service.py"
    script.write_text(
        textwrap.dedent(
            f"""
            from gevent import monkey
            monkey.patch_all()
            import gevent, time
            from openflagship import FlagShip

            client = FlagShip({KEY!r}, {platform.url!r}, flush_seconds=3600)
            ticks = []
            def tick():
                while True:
                    ticks.append(time.monotonic())
                    gevent.sleep(0.01)
            gevent.spawn(tick)
            while len(ticks) < 20:
                gevent.sleep(0.01)
            assert client.is_enabled("asked", "user-1")
            assert client.flush()
            deadline = time.monotonic() + 20
            while client.is_enabled("asked", "user-1") and time.monotonic() < deadline:
                gevent.sleep(0.01)
            assert not client.is_enabled("asked", "user-1")
            assert max(later - earlier for earlier, later in zip(ticks, ticks[1:])) < 2, "a greenlet was held up"
            assert client.flush()
            client.close()
            """
        )
    )
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        eventually(lambda: platform.exposures() or process.poll() is not None, seconds=30)
        platform.change(treatment(enabled=False))
        output, _ = process.communicate(timeout=40)
    finally:
        process.kill()

    assert (process.returncode, output) == (0, "")
    assert {event["variant"] for event in platform.exposures()} == {"treatment", "control"}
