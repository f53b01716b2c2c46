"""Several edge processes on one port: a parent that starts them, starts anew the one that ended, and ends them all.

Each listens on a socket of its own with SO_REUSEPORT, so that the kernel spreads the connections evenly and takes a
process that ended out at once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final, TypeAlias

from openflagship.client.transport.backoff import Backoff
from openflagship.edge.metrics import Figures, Metrics

log = logging.getLogger("openflagship.edge")

# What a process ends with that could not start. The same would befall the next one.
START_FAILED: Final = 3
# One that lived so long was healthy.
_HEALTHY_SECONDS: Final = 60.0
# More than a process takes to end its requests and to send its events.
_MOST_SECONDS_TO_END: Final = 30.0
# A process that is starting, or that hangs, is missing from a scrape.
_MOST_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Place:
    """Which of the processes one is, and where each of them tells its figures."""

    number: int
    folder: Path
    of: int

    def socket_of(self, number: int) -> str:
        return str(self.folder / str(number))


# Serves until it is told to end. It is pickled, so it is a function of a module.
Serve: TypeAlias = Callable[[str, int, Place], None]


def sharing(host: str, port: int) -> socket.socket:
    """A socket on the address, which others may share. Raises OSError."""
    return bound(host, port, socket.SO_REUSEADDR, socket.SO_REUSEPORT)


def check_free(host: str, port: int) -> None:
    """Raises OSError where somebody serves the port: another edge would share it unasked."""
    bound(host, port, socket.SO_REUSEADDR).close()


def bound(host: str, port: int, *options: int) -> socket.socket:
    """A socket on the address, with these options of sockets set. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    found = socket.socket(family, kind, protocol)
    try:
        for option in options:
            found.setsockopt(socket.SOL_SOCKET, option, 1)
        found.bind(address)
    except OSError:
        found.close()
        raise
    return found


def run(host: str, port: int, processes: int, serve: Serve) -> int:
    """Serve by so many processes until SIGTERM or SIGINT. Returns the exit code. Raises OSError for a port in use."""
    check_free(host, port)
    with sharing(host, port) as kept, tempfile.TemporaryDirectory(prefix="flagship-edge-") as folder:
        places = [Place(number, Path(folder), processes) for number in range(processes)]
        # The port that was found, where 0 asked for any.
        port = kept.getsockname()[1]
        return _Parent([_Child(serve, host, port, place) for place in places]).run()


class _Child:
    """One place among the processes, whoever has it."""

    def __init__(self, serve: Serve, host: str, port: int, place: Place) -> None:
        self.place = place
        self._given = (serve, host, port, place)
        self._backoff = Backoff(0.5, 30.0)
        self._started_at = 0.0
        self.starts = 0
        self.due: float | None = 0.0
        self.process: BaseProcess | None = None

    def start(self) -> None:
        self.due = None
        self.starts += 1
        self._started_at = time.monotonic()
        # With an interpreter of its own: nothing of the parent's is half there.
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=_serve, args=self._given, name=f"openflagship-edge-{self.place.number}")
        self.process.start()

    def note_end(self) -> None:
        """Start another one, later where they end one after another."""
        if time.monotonic() - self._started_at > _HEALTHY_SECONDS:
            self._backoff.reset()
        self.due = time.monotonic() + self._backoff.next_seconds()


class _Parent:
    def __init__(self, children: list[_Child]) -> None:
        self._children = children

    def run(self) -> int:
        told, wakes = socket.socketpair()
        for end in (told, wakes):
            end.setblocking(False)
        signal.set_wakeup_fd(wakes.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        try:
            return self._watch(told)
        finally:
            self._end()
            signal.set_wakeup_fd(-1)
            told.close()
            wakes.close()

    def _watch(self, told: socket.socket) -> int:
        while True:
            now = time.monotonic()
            for child in self._children:
                if child.due is not None and child.due <= now:
                    child.start()
            dues = [child.due for child in self._children if child.due is not None]
            sentinels = [child.process.sentinel for child in self._children if child.process is not None]
            ready = wait([told, *sentinels], max(0.0, min(dues) - now) if dues else None)
            if told in ready:
                return 0
            for child in self._children:
                if child.process is None or child.process.sentinel not in ready:
                    continue
                code = _end_of(child)
                if code == START_FAILED and child.starts == 1:
                    return START_FAILED
                log.warning("edge process %d ended with %s and is started again", child.place.number, code)
                child.note_end()

    def _end(self) -> None:
        """End all of them, by force those that take too long."""
        live = [child.process for child in self._children if child.process is not None]
        for process in live:
            process.terminate()
        until = time.monotonic() + _MOST_SECONDS_TO_END
        for process in live:
            process.join(max(0.0, until - time.monotonic()))
            if process.exitcode is None:
                process.kill()
                process.join()


def _end_of(child: _Child) -> int | None:
    process, child.process = child.process, None
    if process is None:
        return None
    process.join()
    with suppress(FileNotFoundError):
        Path(child.place.socket_of(child.place.number)).unlink()
    return process.exitcode


def _serve(serve: Serve, host: str, port: int, place: Place) -> None:
    threading.Thread(target=_end_with_parent, name="openflagship-edge-parent", daemon=True).start()
    serve(host, port, place)


def _end_with_parent() -> None:
    """A parent that is killed cannot end its processes, which would keep the port."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


class Peers:
    """The figures of all processes: each tells its own on a Unix socket that only this user can open."""

    def __init__(self, place: Place, metrics: Metrics) -> None:
        self._place = place
        self._metrics = metrics
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._tell, self._place.socket_of(self._place.number))

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def figures(self) -> dict[str, Figures]:
        """What each process tells, by its number."""
        numbers = [number for number in range(self._place.of) if number != self._place.number]
        others = dict(zip(numbers, await asyncio.gather(*(self._ask(number) for number in numbers)), strict=True))
        told = {**others, self._place.number: self._metrics.figures()}
        return {str(number): figures for number, figures in sorted(told.items()) if figures is not None}

    async def _tell(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(json.dumps(self._metrics.figures()).encode())
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def _ask(self, number: int) -> Figures | None:
        try:
            return await asyncio.wait_for(_read(self._place.socket_of(number)), _MOST_SECONDS)
        except (OSError, ValueError, asyncio.TimeoutError):  # noqa: UP041 - another class on Python 3.10
            return None


async def _read(path: str) -> Figures:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        figures: Figures = json.loads(await reader.read())
        return figures
    finally:
        writer.close()
