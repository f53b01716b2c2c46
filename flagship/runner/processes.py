"""The Procfile's processes under honcho, on a leash: they end when the runner does, however it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from honcho.environ import parse_procfile
from honcho.manager import SIGNALS, Manager
from honcho.process import Popen, Process

PR_SET_PDEATHSIG = 1
# honcho itself kills what is left five seconds after the first process has stopped; this is for when none stops at all.
KILL_AFTER_SECONDS = 15
JOIN_SECONDS = 5


def read_procfile(path: Path) -> dict[str, str]:
    """Process name to shell command, in the file's order."""
    return dict(parse_procfile(path.read_text()).processes)


class LeashedManager(Manager):
    """honcho's manager, which also knows who died first and can be told to end from another thread."""

    def __init__(self, printer: Any, *, on_started: Callable[[], None]) -> None:
        super().__init__(printer)
        self._process_ctor = LeashedProcess
        self._on_started = on_started
        self._is_starting = True
        self._end_was_asked_for = False
        self.died: dict[str, int] = {}

    def add_all(self, commands: Mapping[str, str], *, env: dict[str, str], cwd: Path) -> None:
        for name, command in commands.items():
            self.add_process(name, command, env={**env, "PROCESS_NAME": name}, cwd=str(cwd))

    def terminate(self) -> None:
        """Safe at any time: a Ctrl-C while processes are being started waits until their pids are known."""
        self._end_was_asked_for = True
        if self._is_starting or self._terminating:
            return
        self.died = {name: p["returncode"] for name, p in self._processes.items() if p.get("returncode") is not None}
        guard = threading.Timer(KILL_AFTER_SECONDS, self.kill)
        guard.daemon = True
        guard.start()
        super().terminate()

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
        super()._start()
        self._hear_signals()
        while not self._all_started():
            message = self.events.get()
            if message.type == "start":
                self._processes[message.name]["pid"] = message.data["pid"]
            elif message.type == "stop":
                self._processes[message.name]["returncode"] = message.data["returncode"]
            else:
                self._printer.write(message)
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
