"""Load for `benchmarks.http`: wrk as a closed loop, an asyncio generator at an offered rate, and what a server uses."""

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Each request is written ahead; wrk only sends them in turn. At the end it prints what it counted.
_LUA = """
local requests, turn = {}, 0
function init(args)
  for line in io.lines(args[1]) do
    local method, path, body = line:match("^(%S+) (%S+) ?(.*)$")
    requests[#requests + 1] = wrk.format(method, path, { HEADERS }, body ~= "" and body or nil)
  end
end
function request()
  turn = turn % #requests + 1
  return requests[turn]
end
function done(summary, latency)
  local errors = summary.errors
  print(string.format('{"requests": %d, "us": %d, "errors": %d, "p50": %d, "p99": %d}', summary.requests,
    summary.duration, errors.status + errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True)
class Target:
    """What is asked of one server: `requests` are (path, body) in turn; `pids` roots of its process tree."""

    name: str
    port: int
    requests: Sequence[tuple[str, bytes]]
    pids: tuple[int, ...]
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"


@dataclass(frozen=True)
class Reading:
    """Milliseconds, requests a second, microseconds of the server's CPU for each request."""

    rate: float
    p50: float
    p99: float
    errors: int
    cpu_us: float


def wrk(target: Target, connections: int, seconds: float, folder: Path) -> Reading:
    script, lines = folder / "load.lua", folder / "load.txt"
    headers = {"Content-Type": "application/json", **target.headers}
    script.write_text(
        _LUA.replace("HEADERS", ", ".join(f"[{json.dumps(name)}] = {_lua(text)}" for name, text in headers.items()))
    )
    lines.write_bytes(b"".join(b"%s %s %s\n" % (target.method.encode(), p.encode(), b) for p, b in target.requests))
    before = cpu_seconds(target.pids)
    command = [
        *("wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s", "-s", str(script)),
        *(f"http://127.0.0.1:{target.port}/", str(lines)),
    ]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    said = json.loads(output.splitlines()[-1])
    used = cpu_seconds(target.pids) - before
    return Reading(
        rate=said["requests"] / said["us"] * 1e6,
        p50=said["p50"] / 1000,
        p99=said["p99"] / 1000,
        errors=said["errors"],
        cpu_us=used / max(1, said["requests"]) * 1e6,
    )


def _lua(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def offered(target: Target, rate: int, seconds: float, connections: int = 32) -> Reading:
    """Open loop: each request has its moment, and its latency counts from then even if it had to wait for a connection.

    The latencies have the generator's own delays in them: it shares the cores.
    """
    before = cpu_seconds(target.pids)
    latencies, errors = asyncio.run(_offer(target, rate, seconds, connections))
    used = cpu_seconds(target.pids) - before
    latencies.sort()
    return Reading(
        rate=len(latencies) / seconds,
        p50=latencies[len(latencies) // 2] * 1000,
        p99=latencies[int(len(latencies) * 0.99)] * 1000,
        errors=errors,
        cpu_us=used / max(1, len(latencies)) * 1e6,
    )


class _Connection(asyncio.Protocol):
    """One request at a time; answers are told apart by their Content-Length."""

    def __init__(self, load: "_Load") -> None:
        self.load = load
        self.due = 0.0
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # a TCP connection's is one
        self.load.free.append(self)
        if self.load.waiting:
            self.load.fire(self.load.waiting.pop(0))

    def connection_lost(self, _error: Exception | None) -> None:
        """What a server closes while it is idle is no error: a caller opens another one."""
        if self in self.load.free:
            self.load.free.remove(self)
        if not self.load.complete.is_set():
            self.load.reopen()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            self.buffer = b""
            self.load.latencies.append(time.perf_counter() - self.due)
            self.load.errors += not head.startswith(b"HTTP/1.1 200")
            self.load.answered(self)

    def send(self, due: float, request: bytes) -> None:
        self.due = due
        self.transport.write(request)


class _Load:
    def __init__(self, requests: list[bytes], port: int) -> None:
        self.requests, self.port = requests, port
        self.free: list[_Connection] = []
        self.waiting: list[float] = []
        self.latencies: list[float] = []
        self.errors = self.turn = self.wanted = 0
        self.complete = asyncio.Event()
        self._reopening: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: _Connection(self), "127.0.0.1", self.port)

    def reopen(self) -> None:
        task = asyncio.get_running_loop().create_task(self.open())
        self._reopening.add(task)
        task.add_done_callback(self._reopening.discard)

    def fire(self, due: float) -> None:
        if self.free:
            self.turn = (self.turn + 1) % len(self.requests)
            self.free.pop().send(due, self.requests[self.turn])
        else:
            self.waiting.append(due)

    def answered(self, connection: _Connection) -> None:
        self.free.append(connection)
        if self.waiting:
            self.fire(self.waiting.pop(0))
        elif len(self.latencies) == self.wanted:
            self.complete.set()


async def _offer(target: Target, rate: int, seconds: float, connections: int) -> tuple[list[float], int]:
    head = "".join(
        f"{name}: {text}\r\n" for name, text in {"Content-Type": "application/json", **target.headers}.items()
    )
    requests = [
        f"{target.method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode()
        + body
        for path, body in target.requests
    ]
    load = _Load(requests, target.port)
    for _ in range(connections):
        await load.open()
    gc.collect()
    gc.disable()
    sent, total, start = 0, int(rate * seconds), time.perf_counter()
    while sent < total:
        now = time.perf_counter()
        while sent < total and (due := start + sent / rate) <= now:
            load.fire(due)
            sent += 1
        await asyncio.sleep(max(0.0, start + sent / rate - time.perf_counter()))
    load.wanted = total
    if len(load.latencies) == total:
        load.complete.set()
    with suppress(TimeoutError):
        await asyncio.wait_for(load.complete.wait(), 30)
    gc.enable()
    load.complete.set()
    for connection in load.free:
        connection.transport.close()
    return load.latencies, load.errors + total - len(load.latencies)


def tree(pids: Sequence[int]) -> list[int]:
    found = list(pids)
    for pid in found:
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def cpu_seconds(pids: Sequence[int]) -> float:
    total = 0
    for pid in tree(pids):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def resident_mib(pids: Sequence[int]) -> float:
    """Summed over the process tree; pages that its processes share count in each."""
    total = 0
    for pid in tree(pids):
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except OSError:
            continue
    return total * _PAGE / 2**20


def wrk_version() -> str:
    """Raises SystemExit with the way to get it: Debian and Ubuntu package it."""
    try:
        shown = subprocess.run(["wrk", "--version"], check=False, capture_output=True, text=True).stdout
    except FileNotFoundError:
        sys.exit("This needs wrk: apt-get install wrk, or build github.com/wg/wrk with make.")
    return shown.splitlines()[0].split("[")[0].strip()
