"""How fast a change arrives, and what open streams cost: `python -m benchmarks.propagation [--rounds 100]`.

Starts two web workers, a stream process and their servers under var/bench-propagation, and writes from this process as
one more web worker would. Every time is from the moment the transaction had committed, before anything is published.
"""

import argparse
import http.client
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.events_world import machine, report
from benchmarks.propagation_load import BARE, Probe, Streams, throughput

ROOT = Path(__file__).resolve().parent.parent
VAR_DIR = ROOT / "var" / "bench-propagation"
FLAG = "flag-0"
FAN_OUT_CLIENTS = 2_000
SDK_CLIENTS = 50


def at(ascending: list[float], percent: float) -> str:
    """A percentile of seconds, in milliseconds."""
    return f"{ascending[min(len(ascending) - 1, int(len(ascending) * percent / 100))] * 1000:.0f} ms"


def row(what: str, seconds: list[float], goal: str = "") -> str:
    ascending = sorted(seconds)
    return f"| {what} | {len(ascending)} | {at(ascending, 50)} | {at(ascending, 99)} | {at(ascending, 100)} | {goal} |"


@dataclass(frozen=True)
class Load:
    """Evaluations a second, and what each cost the web worker and the stream process together."""

    per_second: float
    cpu_microseconds: float


class Bench:
    """The cluster, and this process as one that writes to it."""

    def __init__(self, cluster: Any, ports: list[int], rounds: int) -> None:
        from tenancy.models import Environment  # noqa: PLC0415 - after setup

        self.cluster, self.ports, self.rounds = cluster, ports, rounds
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
        from flags.streaming.testing import eventually  # noqa: PLC0415 - after setup

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
    from flags.propagation import Step  # noqa: PLC0415 - likewise
    from flags.streaming.cluster import free_port  # noqa: PLC0415 - likewise
    from flags.streaming.events import event_of  # noqa: PLC0415 - likewise
    from flags.streaming.testing import eventually  # noqa: PLC0415 - likewise

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


def cost(bench: Bench, pairs: int, seconds: float) -> tuple[list[Load], list[Load]]:
    """Evaluations with no stream open and with 1,000, in an order that no rhythm of the machine can follow."""
    without: list[Load] = []
    beside: list[Load] = []
    _load(bench, seconds)
    turns = [False, True] * pairs
    random.Random(7).shuffle(turns)
    for has_streams in turns:
        with ExitStack() as stack:
            if has_streams:
                streams = Streams(bench.cluster.stream_port, bench.cluster.server_key, 1_000, last=bench.version())
                stack.callback(streams.close)
            (beside if has_streams else without).append(_load(bench, seconds))
    return without, beside


def _load(bench: Bench, seconds: float) -> Load:
    before = _cpu_seconds(bench, "web") + _cpu_seconds(bench, "stream")
    per_second = throughput(bench.ports[0], bench.cluster.server_key, FLAG, seconds=seconds)
    used = _cpu_seconds(bench, "web") + _cpu_seconds(bench, "stream") - before
    return Load(per_second, used / (per_second * seconds) * 1e6)


def _cpu_seconds(bench: Bench, name: str) -> float:
    process = psutil.Process(bench.cluster.pid(name))
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def spread(loads: list[Load]) -> str:
    rates = sorted(load.per_second for load in loads)
    return f"{median(rates):.0f} ({rates[0]:.0f} to {rates[-1]:.0f})"


def measure(bench: Bench, embedded: Any, *, idle_clients: int) -> list[str]:
    rounds = bench.rounds
    table = [
        row("evaluate on each of 2 web workers", bench.workers(rounds), "p99 < 100 ms"),
        row("1,000 SSE clients", [s for found in bench.streams(1_000, max(5, rounds // 10)) for s in found], "2 s"),
        row(f"{SDK_CLIENTS} SDK clients, in one process", bench.sdk(SDK_CLIENTS, max(5, rounds // 10)), ""),
    ]
    with bench.cluster.without("redis"):
        table.append(row("evaluate, Redis away", bench.workers(5), "< 6 s"))
    layout = embedded.layout.Layout.of(VAR_DIR)
    account = embedded.account.choose_account(layout.var_dir, layout.postgres_data)
    after = []
    for _ in range(5):
        bench.wait_until_hearing()
        bench.workers(1)
        # The database goes in the instant between the commit and the publishing.
        after += bench.workers(1, lambda: embedded.postgres.stop(layout))
        embedded.postgres.ensure_running(layout, account, fsync=False)
        _forget_connection()
    table.append(row("evaluate, PostgreSQL stopped after the commit", after, "p99 < 100 ms"))
    bench.wait_until_hearing()
    ours, bare = fan_out(bench, max(7, rounds // 10))
    ours_p99 = [found[int(len(found) * 0.99)] for found in ours]
    bare_p99 = [found[int(len(found) * 0.99)] for found in bare]
    each, took = idle(bench, idle_clients)
    without, beside = cost(bench, 15, 2)
    cpu = [median([load.cpu_microseconds for load in loads]) for loads in (without, beside)]
    p99 = [median(found) * 1000 for found in (ours_p99, bare_p99)]
    return [
        "## Propagation",
        "",
        f"`python -m benchmarks.propagation --rounds {rounds} --idle {idle_clients}`. {machine()}. Times are from the "
        "moment the writer's transaction had committed, servers, clients and probes all on one machine.",
        "",
        "| from commit to | samples | p50 | p99 | most | goal |",
        "|---|---|---|---|---|---|",
        *table,
        "",
        "| what | measured | goal |",
        "|---|---|---|",
        f"| fan-out to {FAN_OUT_CLIENTS:,} SSE clients, p99 (median of {len(ours)} rounds) "
        f"| {p99[0]:.0f} ms; a bare ASGI server sending the same bytes {p99[1]:.0f} ms; ratio {p99[0] / p99[1]:.2f} "
        "| ratio at most 1.5 |",
        f"| {idle_clients:,} idle streams on one stream process | {each:.1f} KiB each, connected in {took:.1f} s "
        "| at most 40 KiB |",
        f"| CPU of web worker and stream process for an evaluation, 0 and 1,000 streams (medians of {len(without)}) "
        f"| {cpu[0]:.0f} and {cpu[1]:.0f} µs: {(cpu[1] / cpu[0] - 1) * 100:+.1f} % | less than 10 % more |",
        f"| evaluations a second, likewise (least to most) | {spread(without)} and {spread(beside)} "
        "| less than 10 % fewer, where the machine is free enough to tell |",
    ]


def _forget_connection() -> None:
    from django.db import connections  # noqa: PLC0415 - after setup

    connections.close_all()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="changes to time on the web workers (default 100)")
    parser.add_argument("--idle", type=int, default=10_000, help="idle streams; each takes a file descriptor")
    options = parser.parse_args()
    from flagship import embedded  # noqa: PLC0415 - knows no Django; the environment follows from it

    # Of an earlier run: the cluster seeds an empty database.
    shutil.rmtree(VAR_DIR, ignore_errors=True)
    VAR_DIR.mkdir(parents=True)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "flagship.settings",
        "FLAGSHIP_VAR_DIR": str(VAR_DIR),
        "DATABASE_URL": embedded.database_url(VAR_DIR),
        "REDIS_URL": embedded.redis_url(VAR_DIR),
        "REDIS_PREFIX": "cluster",
        "SECRET_KEY": "a-secret-that-only-this-cluster-uses",
        "LOG_LEVEL": "ERROR",
    }
    import django  # noqa: PLC0415 - after the environment

    django.setup()
    from flags.streaming.cluster import Cluster  # noqa: PLC0415 - after setup

    with Cluster(embedded, VAR_DIR, web_workers=1, flags=10) as cluster:
        ports = [cluster.web_port, cluster.start("web-2", line="web")]
        lines = measure(Bench(cluster, ports, options.rounds), embedded, idle_clients=options.idle)
        _forget_connection()
    report("propagation", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
