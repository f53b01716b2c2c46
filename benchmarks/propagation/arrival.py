"""How fast a change arrives, and what open streams cost: `python -m benchmarks.propagation [part …] [--rounds 100]`.

Starts two web workers, a stream process and their servers under var/bench-propagation, and writes from this process as
one more web worker would. Every time is from the moment the transaction had committed, before anything is published.
Each part may be run by itself; its rows then take the place of those from its last run.
"""

import argparse
import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import psutil

from benchmarks.propagation.cost import cost_rows, median
from benchmarks.propagation.load import BARE, Probe, Streams
from benchmarks.world import ROOT, machine, report, set_up_django

VAR_DIR = ROOT / "var" / "bench-propagation"
ROWS = ROOT / "var" / "bench-propagation.json"
FLAG = "flag-0"
FAN_OUT_CLIENTS = 2_000
SDK_CLIENTS = 50


def at(ascending: list[float], percent: float) -> str:
    """A percentile of seconds, in milliseconds."""
    return f"{ascending[min(len(ascending) - 1, int(len(ascending) * percent / 100))] * 1000:.0f} ms"


def row(what: str, seconds: list[float], goal: str = "") -> str:
    ascending = sorted(seconds)
    return f"| {what} | {len(ascending)} | {at(ascending, 50)} | {at(ascending, 99)} | {at(ascending, 100)} | {goal} |"


class Bench:
    """The cluster, and this process as one that writes to it."""

    def __init__(self, cluster: Any, ports: list[int], *, rounds: int, idle_clients: int) -> None:
        from tenancy.models import Environment  # noqa: PLC0415 - after setup

        self.cluster, self.ports, self.rounds, self.idle_clients = cluster, ports, rounds, idle_clients
        self._environment = Environment.objects.select_related("project__organization").get(pk=cluster.environment_id)
        self._is_killed = False

    def version(self) -> int:
        self._environment.refresh_from_db()
        return int(self._environment.config_version)

    def toggle(self, before_publishing: Callable[[], None] = lambda: None) -> float:
        """Kill the flag, or release it; gives the moment (time.monotonic) at which that had committed."""
        from django.db import transaction  # noqa: PLC0415 - after setup

        from audit.actors import Actor  # noqa: PLC0415 - likewise
        from flags import services  # noqa: PLC0415 - likewise

        actor = Actor(kind="system", id="", label="benchmark")
        committed: list[float] = []

        def stamp() -> None:
            before_publishing()
            committed.append(time.monotonic())

        with transaction.atomic():
            # Called before the service's own: in the order of registration.
            transaction.on_commit(stamp)
            act = services.release_flag if self._is_killed else services.kill_flag
            act(actor=actor, environment=self._environment, key=FLAG, reason="benchmark")
        self._is_killed = not self._is_killed
        return committed[0]

    # -- What is measured --------------------------------------------------------------------------------------------

    def wait_until_hearing(self) -> None:
        """Until every worker listens again: one that has lost Redis comes back after a moment of its own choosing."""
        from flags.testing.streams import eventually  # noqa: PLC0415 - after setup

        def hears(port: int) -> bool:
            return bool(self.cluster.request("GET", "/readyz", port=port)[1]["dependencies"]["redis"] == "ok")

        eventually(lambda: all(hears(port) for port in [*self.ports, self.cluster.stream_port]), seconds=60)

    def workers(self, rounds: int, before_publishing: Callable[[], None] = lambda: None) -> list[float]:
        """From commit to each web worker's answer."""
        with ExitStack() as stack:
            probes = [Probe(port, self.cluster.server_key, FLAG) for port in self.ports]
            for probe in probes:
                stack.callback(probe.close)
            found = []
            for _ in range(rounds):
                version = self.version() + 1
                for probe in probes:
                    probe.expect(version)
                since = self.toggle(before_publishing)
                found += [probe.reached_at() - since for probe in probes]
            return found

    def streams(self, count: int, rounds: int) -> list[list[float]]:
        """From commit to each of so many clients, round by round."""
        streams = Streams(self.cluster.stream_port, self.cluster.server_key, count, last=self.version())
        try:
            return [streams.expect(self.version() + 1, self.toggle) for _ in range(rounds)]
        finally:
            streams.close()

    def sdk(self, count: int, rounds: int) -> list[float]:
        """From commit to each SDK client's giving the killed answer."""
        from openflagship.client import FlagShip, Options  # noqa: PLC0415 - not needed for the rest

        base = f"http://127.0.0.1:{self.cluster.web_port}"
        options = Options(stream_url=f"http://127.0.0.1:{self.cluster.stream_port}", is_sending_events=False)
        clients = [FlagShip(self.cluster.server_key, base, options=options) for _ in range(count)]
        try:
            found: list[float] = []
            for _ in range(rounds):
                version = self.version() + 1
                arrived: dict[int, float] = {}
                is_watching = threading.Event()

                def watch(
                    version: int = version,
                    arrived: dict[int, float] = arrived,
                    is_watching: threading.Event = is_watching,
                ) -> None:
                    is_watching.set()
                    deadline = time.monotonic() + 60
                    while len(arrived) < count and time.monotonic() < deadline:
                        for number, client in enumerate(clients):
                            if number not in arrived and client.status().config_version >= version:
                                arrived[number] = time.monotonic()
                        time.sleep(0.0005)  # leaves the interpreter to the clients' own threads

                watcher = threading.Thread(target=watch)
                watcher.start()
                is_watching.wait()
                since = self.toggle()
                watcher.join()
                if len(arrived) < count:
                    raise TimeoutError("Not every SDK client heard of the change.")
                found += [moment - since for moment in arrived.values()]
            return found
        finally:
            for client in clients:
                client.close()


def fan_out(bench: Bench, rounds: int) -> tuple[list[list[float]], list[list[float]]]:
    """Ours and a bare ASGI server's, the same bytes to as many clients, turn by turn."""
    from flags.models import Change  # noqa: PLC0415 - after setup
    from flags.streaming.stream_events import event_of  # noqa: PLC0415 - likewise
    from flags.testing.cluster import free_port  # noqa: PLC0415 - likewise
    from flags.testing.streams import eventually  # noqa: PLC0415 - likewise
    from flags.versions.steps import Step  # noqa: PLC0415 - likewise

    port = free_port()
    command = [sys.executable, "-m", "uvicorn", BARE, "--port", str(port), "--http", "h11", "--loop", "asyncio"]
    server = subprocess.Popen([*command, "--no-access-log", "--log-level", "warning"], cwd=ROOT)

    def listening() -> bool:
        try:
            http.client.HTTPConnection("127.0.0.1", port, timeout=5).connect()
        except OSError:
            return False
        return True

    def fire(version: int) -> float:
        content = event_of(Step.of_change(change)).sse.replace(b"id: %d\n" % change.version, b"id: %d\n" % version)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.connect()
        since = time.monotonic()
        connection.request("POST", "/fire", content)
        connection.getresponse().read()
        connection.close()
        return since

    ours: list[list[float]] = []
    bare: list[list[float]] = []
    with ExitStack() as stack:
        stack.callback(server.wait)
        stack.callback(server.kill)
        eventually(listening, seconds=30)
        mine = Streams(bench.cluster.stream_port, bench.cluster.server_key, FAN_OUT_CLIENTS, last=bench.version())
        stack.callback(mine.close)
        theirs = Streams(port, "", FAN_OUT_CLIENTS, path="/")
        stack.callback(theirs.close)
        for number in range(rounds):
            ours.append(mine.expect(bench.version() + 1, bench.toggle))
            change = Change.objects.filter(environment_id=bench.cluster.environment_id).latest("version")
            bare.append(theirs.expect(1_000_000 + number, lambda number=number: fire(1_000_000 + number)))
    return ours, bare


def idle(bench: Bench, count: int) -> tuple[float, float]:
    """KiB of a fresh stream process for each idle client, and the seconds it took them to connect.

    Fresh, because memory that earlier clients have left behind would be used again and hide what these need.
    """
    bench.cluster.stop("stream")
    bench.cluster.start("stream")
    process = psutil.Process(bench.cluster.pid("stream"))
    before = process.memory_info().rss
    started = time.monotonic()
    streams = Streams(bench.cluster.stream_port, bench.cluster.server_key, count, last=bench.version())
    try:
        took = time.monotonic() - started
        return (process.memory_info().rss - before) / count / 1024, took
    finally:
        streams.close()


def without_redis(bench: Bench) -> list[float]:
    with bench.cluster.without("redis"):
        return bench.workers(5)


def without_postgres(bench: Bench) -> list[float]:
    """The database goes in the instant between the commit and the publishing."""
    from flagship import embedded  # noqa: PLC0415 - as in main

    layout = embedded.layout.Layout.of(VAR_DIR)
    account = embedded.account.choose_account(layout.var_dir, layout.postgres_data)
    after = []
    for _ in range(5):
        bench.wait_until_hearing()
        bench.workers(1)
        after += bench.workers(1, lambda: embedded.postgres.stop(layout))
        embedded.postgres.ensure_running(layout, account, fsync=False)
        _forget_connection()
    return after


def fan_out_rows(bench: Bench) -> list[str]:
    ours, bare = fan_out(bench, max(7, bench.rounds // 10))
    p99 = [median([found[int(len(found) * 0.99)] for found in side]) * 1000 for side in (ours, bare)]
    return [
        f"| fan-out to {FAN_OUT_CLIENTS:,} SSE clients, p99 (median of {len(ours)} rounds) "
        f"| {p99[0]:.0f} ms; a bare ASGI server sending the same bytes {p99[1]:.0f} ms; ratio {p99[0] / p99[1]:.2f} "
        "| ratio at most 1.5 |"
    ]


def idle_rows(bench: Bench) -> list[str]:
    each, took = idle(bench, bench.idle_clients)
    return [
        f"| {bench.idle_clients:,} idle streams on one stream process "
        f"| {each:.1f} KiB each, connected in {took:.1f} s | at most 40 KiB |"
    ]


def _timed(what: str, goal: str, measure: Callable[[Bench], list[float]]) -> Callable[[Bench], list[str]]:
    return lambda bench: [row(what, measure(bench), goal)]


def _few(bench: Bench) -> int:
    return max(5, bench.rounds // 10)


# Times from the commit, in one table; then what streams cost, in another.
ARRIVALS: dict[str, Callable[[Bench], list[str]]] = {
    "workers": _timed("evaluate on each of 2 web workers", "p99 < 100 ms", lambda bench: bench.workers(bench.rounds)),
    "streams": _timed(
        "1,000 SSE clients", "2 s", lambda bench: [s for found in bench.streams(1_000, _few(bench)) for s in found]
    ),
    "sdk": _timed(
        f"a kill, applied by {SDK_CLIENTS} SDK clients, in one process",
        "",
        lambda bench: bench.sdk(SDK_CLIENTS, _few(bench)),
    ),
    "redis": _timed("evaluate, Redis away", "< 6 s", without_redis),
    "postgres": _timed("evaluate, PostgreSQL stopped after the commit", "p99 < 100 ms", without_postgres),
}
COSTS = {
    "fanout": fan_out_rows,
    "idle": idle_rows,
    "cost": lambda bench: cost_rows(
        bench.cluster, bench.ports[0], FLAG, bench.version(), pairs=max(4, bench.rounds // 5)
    ),
}


def measure(bench: Bench, parts: list[str]) -> None:
    known: dict[str, list[str]] = json.loads(ROWS.read_text()) if ROWS.exists() else {}
    for part in parts:
        bench.wait_until_hearing()
        known[part] = (ARRIVALS | COSTS)[part](bench)
        print("\n".join(known[part]), flush=True)
        ROWS.write_text(json.dumps(known))
    report(
        "propagation",
        [
            "## Propagation",
            "",
            f"`python -m benchmarks.propagation --rounds {bench.rounds} --idle {bench.idle_clients}`. {machine()}. "
            "Times are from the moment the writer's transaction had committed, servers, clients and probes all on one "
            "machine.",
            "",
            "| from commit to | samples | p50 | p99 | most | goal |",
            "|---|---|---|---|---|---|",
            *(line for part in ARRIVALS for line in known.get(part, [])),
            "",
            "| what | measured | goal |",
            "|---|---|---|",
            *(line for part in COSTS for line in known.get(part, [])),
        ],
    )


def _forget_connection() -> None:
    from django.db import connections  # noqa: PLC0415 - after setup

    connections.close_all()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    every = [*ARRIVALS, *COSTS]
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(every)}; all of them by default")
    parser.add_argument("--rounds", type=int, default=100, help="changes to time on the web workers (default 100)")
    parser.add_argument("--idle", type=int, default=10_000, help="idle streams; each takes a file descriptor")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(every):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    # All streams come from one address, by one key.
    most = dict.fromkeys(("STREAM_MAX_PER_KEY", "STREAM_MAX_PER_ADDRESS"), "100000")
    set_up_django(VAR_DIR, REDIS_PREFIX="cluster", LOG_LEVEL="ERROR", **most)
    from flags.testing.cluster import Cluster  # noqa: PLC0415 - after setup
    from flagship import embedded  # noqa: PLC0415 - likewise

    with Cluster(embedded, VAR_DIR, web_workers=1, flags=10) as cluster:
        ports = [cluster.web_port, cluster.start("web-2", line="web")]
        bench = Bench(cluster, ports, rounds=options.rounds, idle_clients=options.idle)
        measure(bench, options.parts or every)
        _forget_connection()
    return 0
