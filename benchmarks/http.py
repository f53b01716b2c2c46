"""The HTTP surfaces beside bare applications on the same servers and beside Unleash's server, by wrk on this machine.

`python -m benchmarks.http [--seconds 5] [--rounds 3] [--connections 64,8] [--only lane,edge] [--no-rivals]`
"""

import argparse
import http.client
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import orjson

from benchmarks import http_rivals as rivals
from benchmarks.events_world import machine, report
from benchmarks.http_load import Reading, Target, offered, resident_mib, wrk, wrk_version
from benchmarks.management import ROOT, VAR_DIR, _seed, _world  # the same 10,000 flags

WEB, STREAM, EDGE, FLOOR_WSGI, FLOOR_DJANGO, FLOOR_UVICORN, FLOOR_GRANIAN = range(8142, 8149)
FLAGS, USERS, SMALL = 10_000, 1_000, 50
RATE, P99_MS, RESIDENT_MIB = 2_000, 10.0, 512
_NAMES = ("checkout", "search", "banner", "payment", "profile", "upload", "invite", "export", "theme", "login")
LIMITLESS = str(10**9)


@dataclass(frozen=True)
class Line:
    """A row of the table: what is measured, and by which other row it is judged."""

    target: Target
    title: str
    reference: str | None = None
    at_least: float | None = None


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
        variables = stack.enter_context(_world())
        variables |= {"PROMETHEUS_MULTIPROC_DIR": str(VAR_DIR / "metrics"), "WEB_PORT": str(WEB)}
        (VAR_DIR / "metrics").mkdir(exist_ok=True)
        key, small_key = _seed(FLAGS)[1], _small_environment()
        servers = _servers(stack, variables, f"{key},{small_key}")
        lines = _lines(servers, key, small_key)
        notes = [] if options.no_rivals else _rivals(stack, variables, lines)
        wanted = tuple(name for name in options.only.split(",") if name)
        lines = [line for line in lines if not wanted or line.target.name.startswith(wanted)]
        connections = [int(number) for number in options.connections.split(",")]
        readings, resident = _measure(lines, connections, options)
        dropped = _figure("flagship_exposures_dropped_total", "flagship_edge_events_dropped")
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
            f"Each figure is the median of {options.rounds} samples of {options.seconds:g} s, taken in turns. Every "
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


def _small_environment() -> str:
    """A project of as many flags as the rival is given; returns its server key."""
    from audit.actors import system  # noqa: PLC0415 - after setup
    from flags.services import create_flag  # noqa: PLC0415 - likewise
    from tenancy import services  # noqa: PLC0415 - likewise
    from tenancy.models import Organization  # noqa: PLC0415 - likewise

    actor, organization = system("benchmark"), Organization.objects.get()
    project = services.create_project(actor=actor, organization=organization, key="small", name="Small")
    environment = services.create_environment(actor=actor, project=project, key="production", name="Production")
    for number in range(SMALL):
        plan = {"attribute": "plan", "operator": "in", "value": ["pro", "free"]}
        rollout = [{"variant": "treatment", "percent": 50}]
        payload = {"key": f"flag-{number}", "enabled": True}
        payload |= {"rules": [{"priority": 1, "conditions": [plan], "rollout": rollout}]} if number % 2 else {}
        payload |= {} if number % 2 else {"rollout": rollout}
        create_flag(actor=actor, environment=environment, payload=payload)
    return services.issue_credential(
        actor=actor, kind="server", name="small", organization=organization, environment=environment
    ).secret


def _servers(stack: ExitStack, variables: dict[str, str], edge_keys: str) -> dict[int, int]:
    """Everything that answers, by port; the values are process ids."""
    python = [sys.executable, "-m"]
    granian = [*python, "granian", "--host", "127.0.0.1", "--workers", "1", "--no-ws"]
    wsgi = [*granian, "--interface", "wsgi", "--blocking-threads", "1"]
    edge = {
        "FLAGSHIP_EDGE_URL": f"http://127.0.0.1:{WEB}",
        "FLAGSHIP_EDGE_STREAM_URL": f"http://127.0.0.1:{STREAM}",
        "FLAGSHIP_EDGE_KEYS": edge_keys,
        "FLAGSHIP_EDGE_PORT": str(EDGE),
    }
    stream = {"STREAM_PORT": str(STREAM), "PROCESS_NAME": "stream"}
    commands: list[tuple[int, list[str], dict[str, str]]] = [
        (WEB, [*wsgi, "--port", str(WEB), "flagship.wsgi:application"], {"PROCESS_NAME": "web"}),
        (STREAM, [sys.executable, "manage.py", "stream"], stream),
        (EDGE, [*python, "openflagship.edge"], edge),
        (FLOOR_WSGI, [*wsgi, "--port", str(FLOOR_WSGI), "benchmarks.http_floors:wsgi"], {}),
        (FLOOR_DJANGO, [*wsgi, "--port", str(FLOOR_DJANGO), "benchmarks.http_floors_django:application"], {}),
        (
            FLOOR_GRANIAN,
            [*granian, "--interface", "asgi", "--port", str(FLOOR_GRANIAN), "benchmarks.http_floors:asgi"],
            {},
        ),
        (
            FLOOR_UVICORN,
            [*python, "uvicorn", "--port", str(FLOOR_UVICORN), "--no-access-log", "benchmarks.http_floors:asgi"],
            {},
        ),
    ]
    found = {}
    for port, command, more in commands:
        found[port] = stack.enter_context(running(command, {**variables, **more}))
        if port in {WEB, STREAM, EDGE}:
            _until_ready(port)
    for port in set(found) - {WEB, STREAM, EDGE}:
        _until_ready(port, "/", wanted=range(100, 600))
    return found


@contextmanager
def running(command: Sequence[str], variables: dict[str, str]) -> Iterator[int]:
    process = subprocess.Popen(command, cwd=ROOT, env=variables)
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_ready(port: int, path: str = "/readyz", wanted: Sequence[int] = (200,)) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            body = orjson.dumps({"flagKey": "flag-1", "userId": "u"})
            connection.request("GET" if path != "/" else "POST", path, body)
            if connection.getresponse().status in wanted:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.2)
    raise TimeoutError(f"Nothing answers on port {port}.")


def _lines(servers: dict[int, int], key: str, small_key: str) -> list[Line]:
    names = [f"{_NAMES[number % 10]}-{number:05d}" for number in range(100)]
    people = [f"user-{number}" for number in range(USERS)]
    attributes = {"country": "DE", "plan": "free"}

    def single(path: str, flags: Sequence[str]) -> list[tuple[str, bytes]]:
        return [
            (path, orjson.dumps({"flagKey": flags[number % 100], "userId": user, "attributes": attributes}))
            for number, user in enumerate(people)
        ]

    def remote(user: str) -> bytes:
        return orjson.dumps({"context": {"targetingKey": user, **attributes}})

    plain = [f"flag-{number}" for number in range(100)]
    ofrep = "/ofrep/v1/evaluate/flags"
    ofrep_one = [(f"{ofrep}/{names[number % 100]}", remote(user)) for number, user in enumerate(people)]
    ofrep_all = [(ofrep, remote(user)) for user in people]
    everything = [
        ("/api/flags/evaluate/all", orjson.dumps({"userId": user, "attributes": attributes})) for user in people
    ]
    mine, small = {"Authorization": f"Bearer {key}"}, {"Authorization": f"Bearer {small_key}"}

    def target(
        name: str, port: int, requests: list[tuple[str, bytes]], headers: dict[str, str] | None = None, method: str = ""
    ) -> Target:
        return Target(name, port, requests, (servers[port],), headers or mine, method or "POST")

    evaluate = "/api/flags/evaluate"
    snapshot = [("/api/snapshot", b"")]
    known = {**small, "If-None-Match": _etag(WEB, small), "Accept-Encoding": "gzip"}
    edge_known = {**small, "If-None-Match": _etag(EDGE, small), "Accept-Encoding": "gzip"}
    packed = {**small, "Accept-Encoding": "gzip"}
    return [
        Line(target("raw-wsgi", FLOOR_WSGI, single("/", plain)), "raw WSGI evaluation, granian"),
        Line(target("lane", WEB, single(evaluate, names)), "**fast lane**, evaluate", "raw-wsgi", 0.60),
        Line(target("lane-ofrep", WEB, ofrep_one), "**fast lane**, OFREP single", "raw-wsgi", 0.60),
        Line(target("django", FLOOR_DJANGO, single("/plain", plain)), "plain Django view, granian", "raw-wsgi"),
        Line(target("bare-drf", FLOOR_DJANGO, single("/drf", plain)), "bare DRF view, granian", "raw-wsgi"),
        Line(
            target("drf", WEB, single(evaluate, names), {**mine, "X-Tenant-ID": "bench"}),
            "**DRF view**, evaluate",
            "bare-drf",
            0.70,
        ),
        Line(target("raw-asgi-uvicorn", FLOOR_UVICORN, single("/", plain)), "raw ASGI evaluation, uvicorn"),
        Line(
            target("raw-asgi-granian", FLOOR_GRANIAN, single("/", plain)),
            "raw ASGI evaluation, granian",
            "raw-asgi-uvicorn",
        ),
        Line(target("edge", EDGE, single(evaluate, names)), "**edge**, evaluate", "raw-asgi-uvicorn", 0.70),
        Line(target("edge-ofrep", EDGE, ofrep_one), "**edge**, OFREP single", "raw-asgi-uvicorn", 0.70),
        Line(target("all", WEB, everything, small), f"**fast lane**, evaluate all {SMALL} flags", "unleash", 1),
        Line(target("bulk", WEB, ofrep_all, small), f"**fast lane**, OFREP bulk of {SMALL} flags", "unleash", 1),
        Line(target("edge-bulk", EDGE, ofrep_all, small), f"**edge**, OFREP bulk of {SMALL} flags", "unleash", 1),
        Line(
            target("snapshot", WEB, snapshot, packed, "GET"),
            f"web, snapshot of {SMALL} flags, packed",
            "unleash-features",
            1,
        ),
        Line(target("304", WEB, snapshot, known, "GET"), "web, snapshot's 304", "unleash-304", 1),
        Line(
            target("edge-snapshot", EDGE, snapshot, packed, "GET"),
            f"edge, snapshot of {SMALL} flags, packed",
            "unleash-features",
            1,
        ),
        Line(target("edge-304", EDGE, snapshot, edge_known, "GET"), "edge, snapshot's 304", "unleash-304", 1),
    ]


def _etag(port: int, headers: dict[str, str]) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/api/snapshot", headers={**headers, "Accept-Encoding": "gzip"})
    response = connection.getresponse()
    response.read()
    return response.headers["ETag"]


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
                _settle()
            resident[line.target.name] = resident_mib(line.target.pids)
    return readings, resident


def _figure(*names: str) -> float:
    """What web's and the edge's metrics of these names add up to."""
    total = 0.0
    for port in (WEB, EDGE):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/metrics")
        for row in connection.getresponse().read().decode().splitlines():
            if row.startswith(names):
                total += float(row.rpartition(" ")[2])
        connection.close()
    return total


def _settle() -> None:
    """Wait until no exposure waits in a process: sending them is not to be the next row's work."""
    deadline = time.monotonic() + 60
    time.sleep(0.3)
    while _figure("flagship_exposure_buffer_depth", "flagship_edge_events_pending") and time.monotonic() < deadline:
        time.sleep(0.1)


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
            shares = [middle(name, number, "rate") / middle(line.reference, number, "rate") for number in connections]
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
    all_lines = {line.target.name: line for line in _lines(servers, key, key)}
    with running([sys.executable, "manage.py", "ingest"], {**variables, "PROCESS_NAME": "ingest"}):
        _settle()
        _drain()
        for name in ("lane", "drf", "lane-ofrep", "edge", "edge-ofrep"):
            line = all_lines[name]
            _settle()
            reading = offered(line.target, RATE, seconds)
            resident = resident_mib(line.target.pids)
            is_met = reading.p99 < P99_MS and resident < RESIDENT_MIB and not reading.errors
            cells = (
                *(line.title, f"{reading.rate:,.0f}", f"{reading.p50:.2f}", f"{reading.p99:.2f}", str(reading.errors)),
                *(f"{resident:.0f}", f"p99 < {P99_MS:g} ms, < {RESIDENT_MIB} MiB", "yes" if is_met else "no"),
            )
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], flush=True)
        reading = wrk(all_lines["lane"].target, 64, min(10.0, seconds), Path(VAR_DIR))
        lines += [
            "",
            f"The fast lane at 64 connections with the ingest process at work: {reading.rate:,.0f} requests/s.",
        ]
    return lines


def _drain() -> None:
    """What the closed loops left in the stream is not this table's."""
    from analytics.pipeline.brokers import redis as stream  # noqa: PLC0415 - after setup

    deadline = time.monotonic() + 300
    while stream.length() and time.monotonic() < deadline:
        time.sleep(0.5)


if __name__ == "__main__":
    main()
