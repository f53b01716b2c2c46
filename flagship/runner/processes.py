"""The Procfile's processes under honcho, on a leash: they end when the runner does, however it ends."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from honcho.environ import parse_procfile
from honcho.manager import SIGNALS, Manager
from honcho.process import Popen, Process

PR_SET_PDEATHSIG = 1
# What is left five seconds after the first process has stopped is killed, and all when none stops at all.
KILL_AFTER_SECONDS = 15
KILL_AFTER_FIRST_SECONDS = 5
# A process that ran for so long begins anew with the shortest pause.
STEADY_SECONDS = 60
LONGEST_PAUSE_SECONDS = 60
_TICK_SECONDS = 0.1
JOIN_SECONDS = 5


def read_procfile(path: Path) -> dict[str, str]:
    """Process name to shell command, in the file's order."""
    return dict(parse_procfile(path.read_text()).processes)


class LeashedManager(Manager):
    """honcho's manager, which starts again what ends by itself, and can be told to end from another thread.

    `refuse` is asked before a process is started again; its words end everything, such as that the port is taken.
    """

    def __init__(
        self,
        printer: Any,
        *,
        on_started: Callable[[], None],
        refuse: Callable[[str], str | None] = lambda _name: None,
        first_pause_seconds: float = 1.0,
    ) -> None:
        super().__init__(printer)
        self._process_ctor = LeashedProcess
        self._on_started, self._refuse = on_started, refuse
        self._first_pause_seconds = first_pause_seconds
        self._is_starting = True
        self._end_was_asked_for = False
        self._kill_at = float("inf")
        # By process: when it was started, the next pause, and when it is due to be started again.
        self._started_at: dict[str, float] = {}
        self._pauses: dict[str, float] = {}
        self._due: dict[str, float] = {}
        self.refused: str | None = None

    def add_all(self, commands: Mapping[str, str], *, env: dict[str, str], cwd: Path) -> None:
        for name, command in commands.items():
            self.add_process(name, command, env={**env, "PROCESS_NAME": name}, cwd=str(cwd))

    def loop(self) -> None:
        """Run until told to end and everything has ended."""
        self._start()
        while True:
            try:
                self._handle(self.events.get(timeout=_TICK_SECONDS))
                continue
            except Empty:
                pass
            if not self._terminating:
                self._start_again_what_is_due()
            elif self._all_stopped():
                return
            elif time.monotonic() > self._kill_at:
                self._kill_at = float("inf")
                self.kill()

    def _handle(self, message: Any) -> None:
        if message.type == "line":
            self._printer.write(message)
        elif message.type == "start":
            self._processes[message.name]["pid"] = message.data["pid"]
            self._started_at[message.name] = time.monotonic()
        elif message.type == "stop":
            self._ended(message.name, message.data["returncode"])

    def _ended(self, name: str, code: int) -> None:
        self._processes[name]["returncode"] = code
        if self._terminating:
            self._kill_at = min(self._kill_at, time.monotonic() + KILL_AFTER_FIRST_SECONDS)
            return
        lived = time.monotonic() - self._started_at.get(name, 0.0)
        pause = self._first_pause_seconds if lived > STEADY_SECONDS else self._pauses.get(name, 0.0)
        pause = min(max(pause, self._first_pause_seconds), LONGEST_PAUSE_SECONDS)
        self._pauses[name] = pause * 2
        self._due[name] = time.monotonic() + pause
        self._system_print(f"{name} ended with exit code {code}; it is started again in {pause:g} s\n")

    def _start_again_what_is_due(self) -> None:
        for name in [name for name, at in self._due.items() if time.monotonic() >= at]:
            del self._due[name]
            self.refused = self._refuse(name)
            if self.refused is not None:
                self.terminate()
                return
            process = self._processes[name]
            process["process"].join(JOIN_SECONDS)
            del process["returncode"], process["pid"]
            self._launch(name)

    def _launch(self, name: str) -> None:
        process = self._processes[name]
        process["process"] = multiprocessing.Process(name=name, target=process["obj"].run, args=(self.events, True))
        process["process"].start()

    def terminate(self) -> None:
        """Safe at any time: a Ctrl-C while processes are being started waits until their pids are known."""
        self._end_was_asked_for = True
        if self._is_starting or self._terminating:
            return
        self._kill_at = time.monotonic() + KILL_AFTER_SECONDS
        super().terminate()

    def _killall(self, force: bool = False) -> None:
        # One that is being started again has no pid yet: it is told as soon as it has one.
        for name, process in self._processes.items():
            while "returncode" not in process and "pid" not in process:
                self._handle(self.events.get())
            if "returncode" not in process:
                self._system_print(f"sending {'SIGKILL' if force else 'SIGTERM'} to {name} (pid {process['pid']})\n")
                (self._procmgr.kill if force else self._procmgr.terminate)(process["pid"])

    def end_at_once(self) -> None:
        """For when the loop itself has failed: kill every process group without a word, then collect the remains."""
        for process in self._processes.values():
            if "pid" in process and process.get("returncode") is None:
                self._procmgr.kill(process["pid"])
        self.join()

    def join(self) -> None:
        for process in self._processes.values():
            if "process" in process:
                process["process"].join(JOIN_SECONDS)

    def _start(self) -> None:
        for name in self._processes:
            self._launch(name)
        self._hear_signals()
        while not self._all_started():
            self._handle(self.events.get())
        self._is_starting = False
        if self._end_was_asked_for:
            self.terminate()
        else:
            self._on_started()

    def _hear_signals(self) -> None:
        """In place of honcho's handlers, which print: one may come amid a line, where printing another is an error."""
        heard: SimpleQueue[int] = SimpleQueue()

        def note(number: int, _frame: object) -> None:
            self.returncode = SIGNALS[number]["rc"]
            heard.put(number)

        def obey() -> None:
            while True:
                self._system_print(f"{SIGNALS[heard.get()]['name']} received\n")
                self.terminate()

        threading.Thread(target=obey, name="signals", daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, note)


class LeashedProcess(Process):
    """honcho forks a relay for each process, and the relay starts the program; each now ends with the one above it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._runner_pid = os.getpid()

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        _end_with_parent(signal.SIGKILL, self._runner_pid)
        # SIGTERM, for a server that loses its runner still has requests to finish and events to hand on.
        self._child_ctor = partial(Popen, preexec_fn=partial(_end_with_parent, signal.SIGTERM, os.getpid()))
        super().run(events, ignore_signals)


def _end_with_parent(number: int, parent_pid: int) -> None:
    """Ask the kernel for a signal when the parent dies. Linux only: elsewhere a killed runner leaves orphans."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before the request was made
        os._exit(1)
