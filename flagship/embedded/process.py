"""Finds, starts and stops a server process without trusting a pid file more than it deserves."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from flagship.embedded.account import Account, server_environment, unwritable_remedy
from flagship.embedded.errors import EmbeddedError

POLL_SECONDS = 0.02
LOG_ROTATE_BYTES = 10 * 1024 * 1024

_children: set[int] = set()


def first_line_pid(pid_file: Path) -> int | None:
    try:
        return int(pid_file.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def is_server(pid: int | None, name: str, path: Path) -> bool:
    """Whether `pid` is alive, no zombie, called `name`, and has `path` on its command line.

    The command line and not the working directory: in a container without CAP_SYS_PTRACE root may read only the former.
    A recycled pid fails the test.
    """
    if pid is None or pid <= 0:
        return False
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return name in process.name() and str(path) in " ".join(process.cmdline())
    except psutil.Error:
        return False


def lives(process: psutil.Process) -> bool:
    """Return whether this very process is alive. False if another process has its pid, or if it ends meanwhile."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def is_alive(pid: int) -> bool:
    """Return whether the process is alive; False for a zombie.

    A server that this process started is reaped, because there may be no init to do it.
    """
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return False
    if lives(process):
        return True
    if pid in _children:
        _children.discard(pid)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
    return False


def wait_until(condition: Callable[[], bool], *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def start(argv: Sequence[str], *, account: Account, cwd: Path, log: Path) -> tuple[int, int]:
    """Start a server in a session of its own, so that a terminal's Ctrl-C does not reach it and it may outlive us.

    Returns its pid and the size its log had before. It may still fail: watch the pid, then read the log.
    """
    command = account.command(argv, cwd=cwd, new_session=True)
    try:
        if log.exists() and log.stat().st_size > LOG_ROTATE_BYTES:
            log.replace(log.with_suffix(".log.1"))
        size_before = log.stat().st_size if log.exists() else 0
        # subprocess.Popen is not used: its object warns when it is forgotten while the server lives on, as it may here.
        pid = os.posix_spawn(
            command[0],
            command,
            server_environment(),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
        )
    except OSError as error:
        raise EmbeddedError(f"Cannot start {argv[0]}: {error}. {unwritable_remedy(log)}") from error
    _children.add(pid)
    return pid, size_before


def stop(pid: int, *, signals: Sequence[tuple[int, float]], what: str) -> None:
    """Send each signal in turn and give it its seconds; raises when the process outlives them all."""
    for number, seconds in signals:
        try:
            psutil.Process(pid).send_signal(number)
        except psutil.NoSuchProcess:
            return
        except psutil.AccessDenied as error:
            raise EmbeddedError(
                f"{what} runs as pid {pid} of another user and cannot be stopped by this one."
            ) from error
        if wait_until(lambda: not is_alive(pid), seconds=seconds):
            return
    raise EmbeddedError(f"{what} (pid {pid}) does not stop; end it by hand.")
