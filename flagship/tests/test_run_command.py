"""`manage.py run` as its user meets it: everything up, an answer on every port, and nothing left afterwards."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flags.testing.cluster import free_port
from flagship.embedded import postgres, redis
from flagship.embedded.layout import Layout
from flagship.embedded.process import lives, wait_until

pytestmark = pytest.mark.processes

REPOSITORY = Path(__file__).resolve().parents[2]
# For when nothing ever comes; a busy machine takes its time.
START_SECONDS = 300
STOP_SECONDS = 120
GONE_SECONDS = 120
# What the tests' own environment sets must not reach the run.
FOREIGN = ("DATABASE_URL", "REDIS_URL", "REDIS_PREFIX", "POLL_SECONDS", "WEB_PORT", "STREAM_PORT", "FLAGSHIP_BASE_URL")


def command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return f"{process.pid}, gone before it was asked"


class Run:
    """A `manage.py run` on a var/ and ports of its own, with its output in a file."""

    def __init__(self, var_dir: Path, *options: str) -> None:
        self.var_dir = var_dir
        self.web_port, self.stream_port = free_port(), free_port()
        self.log = var_dir.parent / "run.log"
        ports = ["--port", str(self.web_port), "--stream-port", str(self.stream_port)]
        environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "run", *ports, *options],
                cwd=REPOSITORY,
                env={**environment, "FLAGSHIP_VAR_DIR": str(var_dir)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.below: list[psutil.Process] = []
        self.commands: dict[int, str] = {}

    def wait_until_ready(self) -> None:
        def settled() -> bool:
            return "FlagShip is ready." in self.log.read_text() or self.process.poll() is not None

        wait_until(settled, seconds=START_SECONDS)
        assert "FlagShip is ready." in self.log.read_text(), self.log.read_text()[-4000:]
        self.below = psutil.Process(self.process.pid).children(recursive=True)
        self.commands = {process.pid: command_of(process) for process in self.below}

    def get(self, port: int, path: str) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=90) as response:
            return int(response.status)

    def leftovers(self) -> list[str]:
        """Processes of ours and embedded servers that still live."""
        layout = Layout.of(self.var_dir)
        servers = [pid for pid in (postgres.running_pid(layout), redis.running_pid(layout)) if pid]
        return [self.commands[p.pid] for p in self.below if lives(p)] + [f"server {pid}" for pid in servers]

    def is_cleared_away(self) -> bool:
        """Whether nothing of it is left; what it has killed may take a moment to be gone."""
        return wait_until(lambda: self.leftovers() == [], seconds=GONE_SECONDS)


@pytest.fixture
def start(tmp_path) -> Iterator:
    runs: list[Run] = []

    def _start(*options: str) -> Run:
        runs.append(Run(tmp_path / "var", *options))
        return runs[-1]

    yield _start
    for run in runs:
        if run.process.poll() is None:
            run.process.terminate()
        run.process.wait(STOP_SECONDS)


def test_run__until_ctrl_c__serves_the_demo_and_leaves_nothing_behind(start):
    run = start()
    run.wait_until_ready()
    assert run.get(run.web_port, "/readyz") == 200
    assert run.get(run.stream_port, "/readyz") == 200
    demo_file = run.var_dir / "demo.json"
    demo = json.loads(demo_file.read_text())
    assert demo_file.stat().st_mode & 0o077 == 0
    assert demo["baseUrl"] == f"http://127.0.0.1:{run.web_port}"
    assert demo["adminPassword"] in run.log.read_text()

    second = subprocess.run(
        [sys.executable, "manage.py", "run"],
        cwd=REPOSITORY,
        env={**os.environ, "FLAGSHIP_VAR_DIR": str(run.var_dir)},
        capture_output=True,
        check=False,
        text=True,
        timeout=STOP_SECONDS,
    )
    assert second.returncode != 0
    assert f"already runs on {run.var_dir} (pid {run.process.pid})" in second.stderr

    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(STOP_SECONDS) == 0, run.log.read_text()[-4000:]
    assert run.is_cleared_away(), run.leftovers()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals the death of a parent")
def test_run__killed_outright__leaves_no_process_and_no_server(start):
    run = start("--no-demo")
    run.wait_until_ready()
    run.process.kill()
    run.process.wait(STOP_SECONDS)
    assert run.is_cleared_away(), run.leftovers()


def test_run__processes_and_servers_killed__are_started_again_and_web_is_never_touched(start):
    run = start("--no-demo")
    run.wait_until_ready()
    layout = Layout.of(run.var_dir)
    postgres_pid = postgres.running_pid(layout)
    for process in run.below:
        if run.commands[process.pid].endswith(("manage.py ingest", "beat --loglevel INFO --pidfile=")):
            process.kill()
    psutil.Process(postgres_pid).kill()

    def is_whole():
        commands = [command_of(p) for p in psutil.Process(run.process.pid).children(recursive=True)]
        return postgres.running_pid(layout) not in {None, postgres_pid} and all(
            any(command.endswith(end) for command in commands)
            for end in ("manage.py ingest", "beat --loglevel INFO --pidfile=")
        )

    assert wait_until(is_whole, seconds=GONE_SECONDS), run.log.read_text()[-4000:]
    assert run.process.poll() is None
    for name in ("ingest", "beat"):
        assert f"{name} ended with exit code -9; it is started again" in run.log.read_text()
    assert not [line for line in run.log.read_text().splitlines() if "web ended" in line]
    assert run.get(run.web_port, "/readyz") == 200
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(STOP_SECONDS) == 0, run.log.read_text()[-4000:]


def test_run__port_asked_for_is_taken__says_so_and_starts_nothing(tmp_path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        finished = subprocess.run(
            [sys.executable, "manage.py", "run", "--port", str(port)],
            cwd=REPOSITORY,
            env={**os.environ, "FLAGSHIP_VAR_DIR": str(tmp_path / "var")},
            capture_output=True,
            check=False,
            text=True,
            timeout=STOP_SECONDS,
        )
    assert finished.returncode == 1
    assert f"Port {port} on 127.0.0.1 is taken" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert not (tmp_path / "var" / "metrics").exists()
