"""Under the servers whose workers silence other SDKs: gunicorn with a preloaded application, uWSGI, and gevent."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from sdk_fixtures import treatment
from small_platform import KEY, SmallPlatform, eventually, free_port


@pytest.fixture
def service(platform: SmallPlatform, tmp_path: Path) -> Path:
    """A WSGI application with a client at module level."""
    (tmp_path / "service.py").write_text(
        textwrap.dedent(
            f"""
            import json, os, time
            from openflagship import FlagShip

            flags = FlagShip({KEY!r}, {platform.url!r}, flush_seconds=0.1, start_wait_seconds=60)

            def application(environ, start_response):
                time.sleep(0.02)  # work, so that two requests at a time need both workers
                status = flags.status()
                value = flags.is_enabled("asked", environ["PATH_INFO"][1:])
                start_response("200 OK", [("Content-Type", "application/json")])
                return [json.dumps([value, status.connection, os.getpid(), status.instance]).encode()]
            """
        )
    )
    return tmp_path


def command(server: str, port: int) -> list[str]:
    if server.startswith("uwsgi"):
        return [
            str(Path(sys.executable).with_name("uwsgi")), "--http-socket", f"127.0.0.1:{port}", "--enable-threads",
            "--module", "service:application", "--master", "--processes", "2", *server.split()[1:],
        ]  # fmt: skip
    return [
        sys.executable, "-m", "gunicorn", "service:application", "--preload", "--workers", "2",
        "--worker-class", server, "--bind", f"127.0.0.1:{port}", "--log-level", "warning",
    ]  # fmt: skip


# The wheel is for Linux, see requirements-dev.txt. It forks in C, with its hooks for Python or without.
UWSGI = (
    ["uwsgi", "uwsgi --lazy-apps", "uwsgi --py-call-osafterfork", "uwsgi --py-call-uwsgi-fork-hooks"]
    if importlib.util.find_spec("pyuwsgi")
    else []
)


@pytest.fixture(params=["sync", "gevent", *UWSGI])
def url(request: pytest.FixtureRequest, service: Path) -> Iterator[str]:
    port = free_port()
    server = subprocess.Popen(
        command(request.param, port),
        cwd=service, env={**os.environ, "PYTHONPATH": str(service)}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    yield f"http://127.0.0.1:{port}"
    os.killpg(server.pid, signal.SIGKILL)
    server.wait(60)


def ask(url: str, user: str) -> list[object] | None:
    try:
        with urllib.request.urlopen(f"{url}/{user}", timeout=30) as response:
            found: list[object] = json.load(response)
            return found
    except OSError:
        return None


def test_server__preloaded__every_worker_follows_and_sends(url: str, platform: SmallPlatform) -> None:
    eventually(lambda: ask(url, "first"))
    seen: dict[object, object] = {}

    def both_stream() -> bool:
        # Several at a time, or one worker may be quick enough for all of them.
        for answer in pool.map(partial(ask, url), [f"user-{len(platform.events)}"] * 6):
            if answer is not None and answer[1] == "streaming":
                seen[answer[2]] = answer[3]
        return len(seen) == 2

    with ThreadPoolExecutor(6) as pool:
        eventually(both_stream)
    platform.change(treatment(enabled=False))
    eventually(lambda: all((ask(url, "later") or [True])[0] is False for _ in range(20)))
    eventually(lambda: set(seen.values()) <= {said["instance"] for said in platform.acknowledged})
    eventually(lambda: "later" in {event["userId"] for event in platform.exposures()})

    assert len(set(seen.values())) == 2


def test_gevent__patched_process__evaluates_follows_and_flushes(platform: SmallPlatform, tmp_path: Path) -> None:
    ticks = tmp_path / "ticks"
    script = tmp_path / "service.py"
    script.write_text(
        textwrap.dedent(
            f"""
            from gevent import monkey
            monkey.patch_all()
            import gevent, time
            from pathlib import Path
            from openflagship import FlagShip

            def tick():
                number = 0
                while True:
                    number += 1
                    Path({str(ticks)!r}).write_text(str(number))
                    gevent.sleep(0.01)
            gevent.spawn(tick)
            client = FlagShip({KEY!r}, {platform.url!r}, flush_seconds=3600, start_wait_seconds=60, connect_seconds=60)
            assert client.is_enabled("asked", "user-1")
            assert client.flush(60)
            deadline = time.monotonic() + 60
            while client.is_enabled("asked", "user-1") and time.monotonic() < deadline:
                gevent.sleep(0.01)
            assert not client.is_enabled("asked", "user-1")
            assert client.flush(60)
            client.close()
            """
        )
    )
    opened = threading.Event()
    platform.gates = {"/api/snapshot": opened, "/api/events/exposure": opened}

    def count() -> int:
        return int((ticks.exists() and ticks.read_text()) or 0)

    def goes_on_during(path: str) -> bool:
        """While the client waits for that answer, which does not come yet, the other greenlet has its turns."""
        eventually(lambda: path in [found for _, found, _ in platform.asked])
        before = count()
        return bool(eventually(lambda: count() > before + 1))

    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert goes_on_during("/api/snapshot")
        platform.gates = {"/api/events/exposure": threading.Event()}
        opened.set()
        assert goes_on_during("/api/events/exposure")
        platform.gates.pop("/api/events/exposure").set()
        eventually(lambda: platform.exposures() or process.poll() is not None)
        platform.change(treatment(enabled=False))
        output, _ = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait(60)

    assert (process.returncode, output) == (0, "")
    assert {event["variant"] for event in platform.exposures()} == {"treatment", "control"}
