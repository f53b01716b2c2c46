"""The HTTP surfaces beside bare applications on the same servers and beside Unleash's server, by wrk on this machine.

`python -m benchmarks.http [--seconds 5] [--rounds 3] [--connections 64,8] [--only lane,edge] [--no-rivals]`
"""

import argparse
import os
import statistics
import sys
from contextlib import ExitStack
from importlib.metadata import version

from benchmarks.http import rivals
from benchmarks.http.load import Reading, Target, offered, resident_mib, wrk, wrk_version
from benchmarks.http.rows import USERS, Line, rows_of
from benchmarks.http.servers import (
    SMALL,
    VAR_DIR,
    WEB,
    all_servers,
    metric_total,
    running,
    small_environment,
    wait_until_sent,
    wait_until_stored,
)
from benchmarks.management.api import seed  # the same 10,000 flags
from benchmarks.world import ROOT, empty_servers, machine, report

FLAGS = 10_000
RATE, P99_MS, RESIDENT_MIB = 2_000, 10.0, 512
LIMITLESS = str(10**9)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=5, help="Of each sample.")
    parser.add_argument("--rounds", type=int, default=3, help="Samples of each row; they take turns.")
    parser.add_argument("--connections", default="64,8")
    parser.add_argument("--offered-seconds", type=float, default=20)
    parser.add_argument("--only", default="", help="Rows whose names begin so, by commas; prints, writes nothing.")
    parser.add_argument("--no-rivals", action="store_true")
    options = parser.parse_args()
    load = wrk_version()
    os.environ |= {"RATE_LIMIT_KEY": LIMITLESS, "RATE_LIMIT_ADDRESS": LIMITLESS}
    begun = os.getloadavg()[0]
    with ExitStack() as stack:
        variables = stack.enter_context(empty_servers(VAR_DIR, RATE_LIMIT_MANAGEMENT="1000000"))
        variables |= {"PROMETHEUS_MULTIPROC_DIR": str(VAR_DIR / "metrics"), "WEB_PORT": str(WEB)}
        (VAR_DIR / "metrics").mkdir(exist_ok=True)
        key, small_key = seed(FLAGS)[1], small_environment()
        servers = all_servers(stack, variables, f"{key},{small_key}")
        lines = rows_of(servers, key, small_key)
        notes = [] if options.no_rivals else _rivals(stack, variables, lines)
        wanted = tuple(name for name in options.only.split(",") if name)
        lines = [line for line in lines if not wanted or line.target.name.startswith(wanted)]
        connections = [int(number) for number in options.connections.split(",")]
        readings, resident = _measure(lines, connections, options)
        dropped = metric_total("flagship_exposures_dropped_total", "flagship_edge_events_dropped")
        table = _table(lines, connections, readings, resident)
        if wanted:
            return
        held = _offered(servers, variables, key, options.offered_seconds)
    report(
        "http",
        [
            "## HTTP",
            "",
            f"`python -m benchmarks.http --seconds {options.seconds:g} --rounds {options.rounds}`; {machine()} "
            f"({begun:.1f} before the run); {load} with one thread, on the same cores as the servers; "
            + ", ".join(f"{name} {version(name)}" for name in ("granian", "uvicorn", "uvloop", "Django"))
            + f", DRF {version('djangorestframework')}.",
            f"Each figure is the median of {options.rounds} samples of {options.seconds:g} s, taken in turns; a share "
            "is the median of the shares in each turn. Every "
            "server has one worker, the WSGI ones one blocking thread. All run at once and idle while one is asked; "
            "beside them PostgreSQL, Redis and the stream process. Exposures go to the event stream in Redis; the "
            "ingest process, which stores them, runs in the row that says so and in the second table alone.",
            f"FlagShip holds {FLAGS:,} flags of two rules and a rollout, and an environment of {SMALL}; the requests "
            f"name 100 flags and {USERS:,} users in turn.",
            f"Of all exposures {dropped:,.0f} found no room in the buffers of web and edge and were dropped, as they "
            "are where more come than Redis, or the edge's server, takes in.",
            *notes,
            "",
            *table,
            "",
            *held,
        ],
    )


def _rivals(stack: ExitStack, variables: dict[str, str], lines: list[Line]) -> list[str]:
    """Add the rival's rows; returns what is to be said of it."""
    try:
        folder = rivals.install(ROOT / "var" / "bench" / "unleash")
        process = stack.enter_context(rivals.unleash(folder, variables["DATABASE_URL"]))
    except rivals.NotInstalledError as error:
        return [f"Unleash's server could not be measured: {error}."]
    users = [(f"/api/frontend?userId=user-{number}&properties[plan]=free", b"") for number in range(USERS)]
    backend, features = {"Authorization": rivals.BACKEND}, [("/api/client/features", b"")]
    known = {**backend, "If-None-Match": rivals.etag()}
    for name, title, requests, headers in (
        ("unleash", f"Unleash, evaluate all {SMALL} flags", users, {"Authorization": rivals.FRONTEND}),
        ("unleash-features", f"Unleash, client features of {SMALL} flags", features, backend),
        ("unleash-304", "Unleash, client features' 304", features, known),
    ):
        target = Target(name, rivals.PORT, requests, (process.pid,), headers, "GET")
        lines.append(Line(target, title))
    return [
        f"Unleash: {', '.join(rivals.PACKAGES)} from npm, one process in production mode on a database of the same "
        f"PostgreSQL, its rate limits raised, {SMALL} flags; each evaluation answers all of them, so it compares with "
        "the rows of as many flags."
    ]


def _measure(
    lines: list[Line], connections: list[int], options: argparse.Namespace
) -> tuple[dict[tuple[str, int], list[Reading]], dict[str, float]]:
    readings: dict[tuple[str, int], list[Reading]] = {}
    resident: dict[str, float] = {}
    for turn in range(-1, options.rounds):
        # The first is to warm up; every other goes the other way, so that a slow moment does not meet the same rows.
        for line in lines if turn % 2 else list(reversed(lines)):
            for number in connections:
                reading = wrk(line.target, number, options.seconds if turn >= 0 else 1, VAR_DIR)
                if turn >= 0:
                    readings.setdefault((line.target.name, number), []).append(reading)
                    print(f"{line.target.name} c{number}: {reading}", flush=True)
                wait_until_sent()
            resident[line.target.name] = resident_mib(line.target.pids)
    return readings, resident


def _table(
    lines: list[Line],
    connections: list[int],
    readings: dict[tuple[str, int], list[Reading]],
    resident: dict[str, float],
) -> list[str]:
    def middle(name: str, number: int, what: str) -> float:
        return statistics.median(getattr(reading, what) for reading in readings[name, number])

    measured = {line.target.name for line in lines}
    shown = [
        "| what | " + " | ".join(f"requests/s, {number} connections | p50 / p99 ms" for number in connections)
        + " | CPU µs | MiB | share of its reference | asked | met |",
        "|---|" + "---|" * (2 * len(connections) + 5),
    ]  # fmt: skip
    for line in lines:
        name = line.target.name
        cells = [line.title]
        for number in connections:
            cells += [
                f"{middle(name, number, 'rate'):,.0f}",
                f"{middle(name, number, 'p50'):.2f} / {middle(name, number, 'p99'):.1f}",
            ]
        cells += [f"{middle(name, connections[0], 'cpu_us'):.0f}", f"{resident[name]:.0f}"]
        if line.reference in measured:
            # In turn with its reference, so that a slow moment of the machine strikes both.
            shares = [
                statistics.median(
                    mine.rate / theirs.rate
                    for mine, theirs in zip(readings[name, number], readings[line.reference, number], strict=True)
                )
                for number in connections
            ]
            cells.append(f"{' / '.join(f'{share:.0%}' for share in shares)} of {line.reference}")
            asked = line.at_least
            cells += ["", ""] if asked is None else [f"{asked:.0%}", "yes" if min(shares) >= asked else "no"]
        else:
            cells += ["", "", ""]
        errors = sum(reading.errors for number in connections for reading in readings[name, number])
        if errors:
            cells[0] += f" ({errors:,} errors)"
        shown.append(f"| {' | '.join(cells)} |")
        print(shown[-1], flush=True)
    return shown


def _offered(servers: dict[int, int], variables: dict[str, str], key: str, seconds: float) -> list[str]:
    """The whole platform at a rate that does not follow the answers."""
    lines = [
        f"{RATE:,} requests/s offered for {seconds:g} s to each, whether or not answers come (an asyncio generator on "
        "32 connections; latency counts from the moment a request was due, the generator's own delays included), with "
        f"the ingest process storing the exposures on the same cores; {FLAGS:,} flags loaded.",
        "",
        "| what | requests/s | p50 ms | p99 ms | errors | MiB | asked | met |",
        "|---|---|---|---|---|---|---|---|",
    ]
    all_lines = {line.target.name: line for line in rows_of(servers, key, key)}
    with running([sys.executable, "manage.py", "ingest"], {**variables, "PROCESS_NAME": "ingest"}):
        wait_until_sent()
        wait_until_stored()
        for name in ("lane", "drf", "lane-ofrep", "edge", "edge-ofrep"):
            line = all_lines[name]
            wait_until_sent()
            reading = offered(line.target, RATE, seconds)
            resident = resident_mib(line.target.pids)
            is_met = reading.p99 < P99_MS and resident < RESIDENT_MIB and not reading.errors
            cells = (
                *(line.title, f"{reading.rate:,.0f}", f"{reading.p50:.2f}", f"{reading.p99:.2f}", str(reading.errors)),
                *(f"{resident:.0f}", f"p99 < {P99_MS:g} ms, < {RESIDENT_MIB} MiB", "yes" if is_met else "no"),
            )
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], flush=True)
        reading = wrk(all_lines["lane"].target, 64, min(10.0, seconds), VAR_DIR)
        lines += [
            "",
            f"The fast lane at 64 connections with the ingest process at work: {reading.rate:,.0f} requests/s.",
        ]
    return lines
