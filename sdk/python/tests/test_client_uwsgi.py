"""Under uWSGI, which forks in C: no thread before the fork, and a worker's first answer is a current one."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sdk_fixtures import treatment
from small_platform import KEY, SmallPlatform, eventually, free_port
from test_client_endings import PAGE

Ask = Callable[..., dict[str, Any] | None]
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pyuwsgi") is None, reason="there is no wheel of uWSGI for this system"
)


class Serve:
    """Starts uWSGI with the options given; what is returned asks it, None while it cannot be reached."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []

    def __call__(self, *options: str, flush_seconds: float = 0.1) -> Ask:
        port = free_port()
        paths = os.pathsep.join([str(self.folder), os.environ.get("PYTHONPATH", "")])
        program = [
            str(Path(sys.executable).with_name("uwsgi")),
            "--http-socket",
            f"127.0.0.1:{port}",
            "--enable-threads",
        ]
        self.processes.append(
            subprocess.Popen(
                [*program, "--module", "service:application", *options],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": paths, "FLUSH_SECONDS": str(flush_seconds)},
                start_new_session=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )

        def ask(path: str = "") -> dict[str, Any] | None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=60) as response:
                    said: dict[str, Any] = json.load(response)
                    return said
            except (OSError, http.client.HTTPException):
                return None

        return ask

    def close(self) -> None:
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)


@pytest.fixture
def serve(platform: SmallPlatform, tmp_path: Path) -> Iterator[Serve]:
    (tmp_path / "service.py").write_text(
        textwrap.dedent(
            f"""
            import json, os, threading
            from pathlib import Path
            from openflagship import FlagShip

            seconds = {{"flush_seconds": float(os.environ["FLUSH_SECONDS"]), "start_wait_seconds": 60}}
            flags = FlagShip({KEY!r}, {platform.url!r}, close_wait_seconds=60, **seconds)
            flags.is_enabled("asked", "before-the-fork")
            loaded = {{
                "loadedIn": os.getpid(), "threads": [thread.name for thread in threading.enumerate()],
                "isReady": flags.status().is_ready,
            }}

            def application(environ, start_response):
                is_on = flags.is_enabled("asked", "user-1")
                if environ["PATH_INFO"] == "/stuck":
                    Path("stuck").touch()
                    threading.Event().wait()
                start_response("200 OK", [("Content-Type", "application/json")])
                said = {{**loaded, "isOn": is_on, "pid": os.getpid(), "connection": flags.status().connection}}
                return [json.dumps(said).encode()]
            """
        )
    )
    made = Serve(tmp_path)
    yield made
    made.close()


def test_uwsgi__preloaded__runs_no_thread_before_the_fork_and_has_flags_at_once(
    serve: Serve, platform: SmallPlatform
) -> None:
    ask = serve("--master", "--processes", "1")
    said = eventually(ask)

    assert [name for name in said["threads"] if name.startswith("openflagship")] == []
    assert said["pid"] != said["loadedIn"]
    assert said["isReady"]
    assert said["isOn"]
    eventually(lambda: (ask() or {}).get("connection") == "streaming")
    eventually(lambda: "user-1" in {event["userId"] for event in platform.exposures()})


def test_uwsgi__worker_respawned__answers_from_what_changed_meanwhile(serve: Serve, platform: SmallPlatform) -> None:
    ask = serve("--master", "--processes", "1")
    first = eventually(ask)
    platform.change(treatment(enabled=False))
    os.kill(first["pid"], signal.SIGKILL)

    def of_the_next() -> dict[str, Any] | None:
        said = ask()
        return said if said is not None and said["pid"] != first["pid"] else None

    assert eventually(of_the_next)["isOn"] is False


def test_uwsgi__neither_master_nor_fork__follows_and_sends_what_was_asked_before(
    serve: Serve, platform: SmallPlatform
) -> None:
    ask = serve()
    said = eventually(ask)
    assert said["isOn"]
    eventually(lambda: (ask() or {}).get("connection") == "streaming")
    platform.change(treatment(enabled=False))
    eventually(lambda: (ask() or {"isOn": True})["isOn"] is False)

    assert said["pid"] == said["loadedIn"]
    eventually(lambda: {event["userId"] for event in platform.exposures()} == {"user-1", "before-the-fork"})


MASTER = ("--master", "--processes", "1")
GRACEFUL = ("--hook-master-start", "unix_signal:15 gracefully_kill_them_all")
ROWS = dict(re.findall(r"^\| (uWSGI[^|]*?) \| (sent|lost) \|", PAGE.read_text(), re.MULTILINE))


def was_sent(platform: SmallPlatform) -> bool:
    return "user-1" in {event["userId"] for event in platform.exposures()}


def test_page__of_uwsgi__has_the_rows_that_are_tested() -> None:
    assert list(ROWS.values()) == ["sent", "lost", "lost", "lost"]
    marks = ("gracefully_kill_them_all", "in the middle of a request", "skip-atexit", "harakiri")
    assert [mark in row for mark, row in zip(marks, ROWS, strict=True)] == [True] * 4


@pytest.mark.parametrize(
    ("options", "end"),
    [
        (("--max-requests", "1", "--min-worker-lifetime", "0"), None),
        ((), signal.SIGHUP),
        (GRACEFUL, signal.SIGTERM),
        ((*GRACEFUL, "--lazy-apps"), signal.SIGTERM),
    ],
    ids=["max-requests", "SIGHUP", "graceful", "lazy-apps"],
)
def test_uwsgi__worker_ends_in_turn__sends_what_waits(
    options: tuple[str, ...], end: signal.Signals | None, serve: Serve, platform: SmallPlatform
) -> None:
    eventually(serve(*MASTER, *options, flush_seconds=3600))
    if end is not None:
        serve.processes[0].send_signal(end)

    eventually(lambda: was_sent(platform))


@pytest.mark.parametrize(
    ("options", "end"),
    [((), signal.SIGINT), ((), signal.SIGQUIT), (("--die-on-term",), signal.SIGTERM)],
    ids=["SIGINT", "SIGQUIT", "die-on-term"],
)
def test_uwsgi__ended_in_the_middle_of_a_request__loses_what_waits(
    options: tuple[str, ...], end: signal.Signals, serve: Serve, platform: SmallPlatform, tmp_path: Path
) -> None:
    ask = serve(*MASTER, *options, flush_seconds=3600)
    eventually(ask)
    stuck = threading.Thread(target=ask, args=("stuck",))
    stuck.start()
    eventually((tmp_path / "stuck").exists)
    serve.processes[0].send_signal(end)
    serve.processes[0].wait(90)
    stuck.join(90)

    assert not was_sent(platform)


def test_uwsgi__runs_nothing_at_its_end__loses_what_waits(serve: Serve, platform: SmallPlatform) -> None:
    eventually(serve(*MASTER, "--skip-atexit", flush_seconds=3600))
    serve.processes[0].send_signal(signal.SIGINT)
    serve.processes[0].wait(90)

    assert not was_sent(platform)


def test_uwsgi__worker_is_killed__loses_what_waits(serve: Serve, platform: SmallPlatform) -> None:
    ask = serve(*MASTER, flush_seconds=3600)
    first = eventually(ask)
    # What `harakiri` does.
    os.kill(first["pid"], signal.SIGKILL)
    eventually(lambda: (ask() or first)["pid"] != first["pid"])

    assert not was_sent(platform)
