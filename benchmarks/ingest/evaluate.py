"""What the events cost an evaluation: its throughput with logging on and off, and its p99 with a server away."""

import re
import signal
import statistics
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.http.load import Reading, offered, wrk
from benchmarks.ingest.rates import PORT, evaluations
from benchmarks.processes import ingest, server_away, tenant, web

_CONNECTIONS = 8


def logging(rounds: int, seconds: float, variables: dict[str, str]) -> list[str]:
    """One web worker each, asked in turn, so that a change in the machine's load meets both."""
    customer = tenant()
    ways = {"off": PORT, "on, nothing stores": PORT + 1, "on, the ingest beside": PORT + 1}
    found: dict[str, list[Reading]] = {way: [] for way in ways}
    with (
        TemporaryDirectory() as folder,
        web(variables, PORT, workers=1, application="benchmarks.ingest.silent:application") as silent,
        web(variables, PORT + 1, workers=1) as logged,
    ):
        for number in range(rounds):
            for way in list(ways) if number % 2 else list(reversed(ways)):
                pid = silent if way == "off" else logged
                target = evaluations(pid, customer, port=ways[way])
                with ingest(variables) if way.endswith("beside") else nullcontext():
                    wrk(target, _CONNECTIONS, 1, Path(folder))
                    found[way].append(wrk(target, _CONNECTIONS, seconds, Path(folder)))
        dropped = _dropped(PORT + 1)
    off = statistics.median(reading.rate for reading in found["off"])
    lines = [
        f"One web worker, {_CONNECTIONS} connections (wrk), medians of {rounds} rounds of {seconds:g} s in turn.",
        "",
        "| exposure logging | evaluations/s | of off | CPU µs each | p99 ms | errors | at least 85 % |",
        "|---|---|---|---|---|---|---|",
    ]
    for way, readings in found.items():
        rate = statistics.median(reading.rate for reading in readings)
        met = "" if way == "off" else "yes" if rate >= 0.85 * off else "**no**"
        lines.append(
            f"| {way} | {rate:,.0f} | {rate / off:.0%} | {statistics.median(r.cpu_us for r in readings):.0f} | "
            f"{statistics.median(r.p99 for r in readings):.1f} | {sum(r.errors for r in readings)} | {met} |"
        )
    return [*lines, "", f"Of the exposures logged {dropped:,} found no room in the buffer and were dropped."]


def _dropped(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    (found,) = re.findall(r"^flagship_exposures_dropped_total ([\d.e+]+)", text, re.MULTILINE)
    return round(float(found))


def outages(rounds: int, seconds: float, rate: int, variables: dict[str, str]) -> list[str]:
    """Each server is away for a while in each round, with a while of everything up before it."""
    customer = tenant()
    away: dict[str, Callable[[], AbstractContextManager[None]]] = {
        "Redis": lambda: server_away("redis-server", signal.SIGTERM),
        "PostgreSQL": lambda: server_away("postgres", signal.SIGINT),
    }
    found: dict[str, list[Reading]] = {}
    with web(variables, PORT) as pid:
        target = evaluations(pid, customer)
        offered(target, rate, seconds)

        def ask(what: str) -> None:
            found.setdefault(what, []).append(offered(target, rate, seconds))

        for _ in range(rounds):
            with ingest(variables):
                ask("everything up")
            ask("no ingest process")
            for name, taken in away.items():
                with ingest(variables):
                    ask("everything up")
                    with taken():
                        ask(f"{name} stopped")
    lines = [
        f"{rate:,} evaluations a second (open loop, two web workers), {rounds} rounds of {seconds:g} s; the worst "
        "round in brackets.",
        "",
        "| state | p50 ms | p99 ms | errors |",
        "|---|---|---|---|",
    ]
    for what, readings in found.items():
        worst = max(reading.p99 for reading in readings)
        lines.append(
            f"| {what} | {statistics.median(r.p50 for r in readings):.1f} | "
            f"{statistics.median(r.p99 for r in readings):.1f} ({worst:.1f}) | {sum(r.errors for r in readings)} |"
        )
    return lines
