"""The processes' leash: they end together, also when the runner is killed outright."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from flagship.embedded.process import lives, wait_until
from flagship.runner.processes import read_procfile

pytestmark = pytest.mark.processes

REPOSITORY = Path(__file__).resolve().parents[2]
# For when nothing ever comes; a busy machine takes its time.
GONE_SECONDS = 120
RUNNER = """
import json, os, signal, sys, threading
from pathlib import Path
from honcho.printer import Printer
from flagship.runner.processes import LeashedManager

# Is told to end amid its first line; like a buffered file it refuses to be written to in the middle of that.
class Interrupted:
    writer = None

    def write(self, text):
        if self.writer == threading.get_ident():
            raise RuntimeError("reentrant call")
        self.writer, is_first = threading.get_ident(), self.writer is None
        if is_first:
            os.kill(os.getpid(), signal.SIGTERM)
        sys.stdout.write(text)
        self.writer = 0

    def flush(self):
        sys.stdout.flush()

output = Interrupted() if sys.argv[2] == "end-amid-a-line" else sys.stdout
def refuse(name):
    return "the port is taken" if sys.argv[2] == "refuse" else None

manager = LeashedManager(
    Printer(output), on_started=lambda: print("STARTED", flush=True), refuse=refuse, first_pause_seconds=0.05
)
manager.add_all(json.loads(sys.argv[1]), env=dict(os.environ), cwd=Path.cwd())
if sys.argv[2] == "end-before-start":
    manager.terminate()
manager.loop()
manager.join()
print("REFUSED", manager.refused, flush=True)
"""
SLEEPER = "exec sleep 600"
STUBBORN = (
    f"exec {sys.executable} -c "
    "'import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(600)'"
)


class Run:
    """A runner in a process of its own, and the pids of everything below it."""

    def __init__(self, commands: dict[str, str], mode: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUNNER, json.dumps(commands), mode],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.below: list[psutil.Process] = []

    def wait_until_started(self, *also: str) -> None:
        """Until everything is started and each of the other lines has been printed."""
        awaited = {"STARTED", *also}
        assert self.process.stdout is not None
        for line in self.process.stdout:
            awaited -= {text for text in awaited if line.endswith(f"{text}\n")}
            if not awaited:
                break
        assert not awaited
        self.below = psutil.Process(self.process.pid).children(recursive=True)

    def wait_until(self, text: str) -> None:
        assert self.process.stdout is not None
        assert any(text in line for line in self.process.stdout), text

    def output(self) -> str:
        return self.process.communicate(timeout=GONE_SECONDS)[0]

    def leftovers(self) -> list[psutil.Process]:
        return [p for p in self.below if lives(p)]

    def is_cleared_away(self) -> bool:
        """Whether nothing of it is left; what it has killed may take a moment to be gone."""
        return wait_until(lambda: self.leftovers() == [], seconds=GONE_SECONDS)


@pytest.fixture
def start():
    runs: list[Run] = []

    def _start(commands: dict[str, str], mode: str = "") -> Run:
        runs.append(Run(commands, mode))
        return runs[-1]

    yield _start
    for run in runs:
        run.process.kill()
        run.process.communicate()
        for process in run.leftovers():
            with suppress(psutil.NoSuchProcess):
                process.kill()


def test_processes__runner_is_told_to_end_amid_a_line__all_end_and_nothing_is_refused(start):
    assert "REFUSED None" in start({"one": SLEEPER, "two": f"echo hello; {SLEEPER}"}, "end-amid-a-line").output()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_processes__runner_is_told_to_end__all_end_and_nothing_is_refused(start, number):
    run = start({"one": SLEEPER, "two": SLEEPER})
    run.wait_until_started()
    assert len(run.below) >= 4  # a relay and a program for each
    run.process.send_signal(number)
    assert "REFUSED None" in run.output()
    assert run.is_cleared_away(), run.leftovers()


@pytest.mark.parametrize("code", [0, 3])
def test_processes__one_ends_by_itself__is_started_again_with_growing_pauses_and_nothing_else_is_touched(start, code):
    run = start({"steady": f"echo once; {SLEEPER}", "failing": f"echo again; exit {code}"})
    for pause in ("0.05", "0.1", "0.2"):
        run.wait_until(f"failing ended with exit code {code}; it is started again in {pause} s")
    run.process.send_signal(signal.SIGTERM)
    output = run.output()
    assert "REFUSED None" in output
    assert "steady  | once" not in output  # it was said in the beginning, and not again
    assert run.is_cleared_away(), run.leftovers()


def test_processes__one_cannot_be_started_again__all_end_with_the_reason(start):
    assert "REFUSED the port is taken" in start({"steady": SLEEPER, "failing": "exit 3"}, "refuse").output()


def test_processes__one_ignores_the_request__is_killed(start):
    run = start({"steady": SLEEPER, "stubborn": STUBBORN})
    run.wait_until_started("stubborn | 1")
    run.process.send_signal(signal.SIGTERM)
    run.output()
    assert run.is_cleared_away(), run.leftovers()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals the death of a parent")
def test_processes__runner_killed_outright__leaves_no_orphan(start):
    run = start({"one": SLEEPER, "two": SLEEPER})
    run.wait_until_started()
    os.kill(run.process.pid, signal.SIGKILL)
    run.process.wait()
    assert run.is_cleared_away(), run.leftovers()


def test_processes__told_to_end_while_starting__waits_for_the_pids_and_ends_them(start):
    run = start({"one": SLEEPER, "two": SLEEPER}, "end-before-start")
    output = run.output()
    assert "REFUSED None" in output
    assert "STARTED" not in output


def test_processes__their_output__is_interleaved_under_their_names(start):
    start({"talker": f"echo hello from below; {SLEEPER}"}).wait_until("talker | hello from below")


def test_procfile__of_the_repository__lists_every_process_and_replaces_the_shell():
    commands = read_procfile(REPOSITORY / "Procfile")
    assert list(commands) == ["web", "stream", "grpc", "ingest", "worker", "beat"]
    # Without exec the shell would be signalled and the server below it left behind.
    assert all(command.startswith("exec ") for command in commands.values())
