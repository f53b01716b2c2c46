"""Under uWSGI, which forks in C: no thread before the fork, and a worker's first answer is a current one."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sdk_fixtures import treatment
from small_platform import KEY, SmallPlatform, eventually, free_port

Ask = Callable[[], dict[str, Any] | None]
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pyuwsgi") is None, reason="there is no wheel of uWSGI for this system"
)


@pytest.fixture
def serve(platform: SmallPlatform, tmp_path: Path) -> Iterator[Callable[..., Ask]]:
    """Start uWSGI with the options given; what is returned asks it, None while it cannot be reached."""
    (tmp_path / "service.py").write_text(
        textwrap.dedent(
            f"""
            import json, os, threading
            from openflagship import FlagShip

            flags = FlagShip({KEY!r}, {platform.url!r}, flush_seconds=0.1, start_wait_seconds=60)
            flags.is_enabled("asked", "before-the-fork")
            loaded = {{
                "loadedIn": os.getpid(), "threads": [thread.name for thread in threading.enumerate()],
                "isReady": flags.status().is_ready,
            }}

            def application(environ, start_response):
                is_on = flags.is_enabled("asked", "user-1")
                start_response("200 OK", [("Content-Type", "application/json")])
                said = {{**loaded, "isOn": is_on, "pid": os.getpid(), "connection": flags.status().connection}}
                return [json.dumps(said).encode()]
            """
        )
    )
    started: list[subprocess.Popen[bytes]] = []

    def _serve(*options: str) -> Ask:
        port = free_port()
        started.append(
            subprocess.Popen(
                [
                    Path(sys.executable).with_name("uwsgi"),
                    "--http-socket",
                    f"127.0.0.1:{port}",
                    "--enable-threads",
                    "--module",
                    "service:application",
                    *options,
                ],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(tmp_path)},
                start_new_session=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )

        def ask() -> dict[str, Any] | None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as response:
                    said: dict[str, Any] = json.load(response)
                    return said
            except OSError:
                return None

        return ask

    yield _serve
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)


def test_uwsgi__preloaded__runs_no_thread_before_the_fork_and_has_flags_at_once(
    serve: Callable[..., Ask], platform: SmallPlatform
) -> None:
    ask = serve("--master", "--processes", "1")
    said = eventually(ask)

    assert [name for name in said["threads"] if name.startswith("openflagship")] == []
    assert said["pid"] != said["loadedIn"]
    assert said["isReady"]
    assert said["isOn"]
    eventually(lambda: (ask() or {}).get("connection") == "streaming")
    eventually(lambda: "user-1" in {event["userId"] for event in platform.exposures()})


def test_uwsgi__worker_respawned__answers_from_what_changed_meanwhile(
    serve: Callable[..., Ask], platform: SmallPlatform
) -> None:
    ask = serve("--master", "--processes", "1")
    first = eventually(ask)
    platform.change(treatment(enabled=False))
    os.kill(first["pid"], signal.SIGKILL)

    def of_the_next() -> dict[str, Any] | None:
        said = ask()
        return said if said is not None and said["pid"] != first["pid"] else None

    assert eventually(of_the_next)["isOn"] is False


def test_uwsgi__neither_master_nor_fork__follows_and_sends_what_was_asked_before(
    serve: Callable[..., Ask], platform: SmallPlatform
) -> None:
    ask = serve()
    said = eventually(ask)
    assert said["isOn"]
    eventually(lambda: (ask() or {}).get("connection") == "streaming")
    platform.change(treatment(enabled=False))
    eventually(lambda: (ask() or {"isOn": True})["isOn"] is False)

    assert said["pid"] == said["loadedIn"]
    eventually(lambda: {event["userId"] for event in platform.exposures()} == {"user-1", "before-the-fork"})
