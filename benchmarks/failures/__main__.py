"""`python -m benchmarks.failures`: a table of failures, with real processes behind the real Caddy.

Hosts that vanish without a word need network namespaces, and a full disk one of its own: both need root on Linux.
Without it the rows are named as not tried.
"""

import argparse
import itertools
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flagship.settings")
django.setup()

import psutil  # noqa: E402 - Django's apps must be loaded first
import psycopg  # noqa: E402 - likewise

from benchmarks.failures.load import Evaluations, Events, Follower  # noqa: E402 - likewise
from benchmarks.world import report  # noqa: E402 - likewise
from flags.testing.cluster import Cluster  # noqa: E402 - likewise
from flags.testing.network import VanishingHost, vanished  # noqa: E402 - likewise
from flags.testing.proxy import Proxy, loopback_address  # noqa: E402 - likewise
from flagship import embedded  # noqa: E402 - likewise
from flagship.tests.tools import can_make_namespaces  # noqa: E402 - likewise

DATA, CONTROL, STREAM = 8000, 8000, 8001
GROUPS = {"web-data": DATA, "web-control": CONTROL, "stream": STREAM}
LEAST = {"errors": 0, "p99": 0.1, "kill": 6.0}


@dataclass(frozen=True, slots=True)
class Row:
    """One failure: evaluations that got no 200, their p99, and how long after its end a kill was obeyed everywhere."""

    name: str
    evaluations: int
    errors: int
    p99_ms: float
    kill_seconds: float


class Site:
    """Two data processes, a control process, two streams, an ingest; each on an address of its own.

    With `apart` PostgreSQL has two hosts, of which the first can vanish, and Redis one.
    """

    def __init__(self, folder: Path, *, apart: bool) -> None:
        self.folder = folder
        self.hosts = {name: loopback_address() for name in ("data-0", "data-1", "control", "stream-0", "stream-1")}
        self.layout = embedded.layout.Layout.of(folder)
        socket = self.layout.socket_dir / embedded.layout.POSTGRES_SOCKET_NAME
        databases = [VanishingHost({5432: socket}), VanishingHost({5432: socket})]
        self.apart = [*databases, VanishingHost({6379: self.layout.redis_socket})] if apart else []
        variables = {}
        if apart:
            first, second, redis = (host.host for host in self.apart)
            address = (
                f"postgres://{embedded.layout.DATABASE_USER}@{first},{second}:5432/{embedded.layout.DATABASE_NAME}"
            )
            variables = {
                "DATABASE_URL": f"{address}?target_session_attrs=read-write",
                "REDIS_URL": f"redis://{redis}:6379/0",
            }
        self.cluster = Cluster(embedded, folder, web_workers=1, processes=(), variables=variables)

    @contextmanager
    def running(self) -> Iterator[None]:
        with ExitStack() as stack:
            for host in self.apart:
                stack.enter_context(host)
            stack.enter_context(self.cluster)
            for name in self.hosts:
                self.start(name)
            self.cluster.start("ingest")
            with Proxy(self.folder, self.groups()) as self.proxy:
                yield

    def groups(self) -> dict[str, list[str]]:
        def of(prefix: str) -> list[str]:
            return [host for name, host in self.hosts.items() if name.startswith(prefix)]

        return {"web-data": of("data"), "web-control": of("control"), "stream": of("stream")}

    def start(self, name: str) -> None:
        kind = "stream" if name.startswith("stream") else "web"
        about = {"PROCESS_NAME": f"web-{name}" if kind == "web" else name, "ALLOWED_HOSTS": "*"}
        self.cluster.start(
            name, line=kind, host=self.hosts[name], port=STREAM if kind == "stream" else DATA, variables=about
        )

    def manage(self, path: str, body: Any) -> tuple[int, Any]:
        with suppress(OSError):
            return self.cluster.manage("POST", path, body, host=self.proxy.host, port=self.proxy.port)
        return 0, None

    def server(self, name: str) -> list[psutil.Process]:
        parent = psutil.Process(getattr(embedded, name).running_pid(self.layout))
        return [parent, *parent.children(recursive=True)]


@contextmanager
def stopped(processes: list[psutil.Process]) -> Iterator[None]:
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def tree(site: Site, name: str) -> list[psutil.Process]:
    parent = psutil.Process(site.cluster.pid(name))
    return [parent, *parent.children(recursive=True)]


def failures(site: Site, seconds: float) -> dict[str, Callable[[], None]]:
    def killed(name: str) -> Callable[[], None]:
        def act() -> None:
            site.cluster.kill(name)
            time.sleep(seconds)
            site.cluster.start("ingest") if name == "ingest" else site.start(name)

        return act

    def within(make: Callable[[], Any]) -> Callable[[], None]:
        def act() -> None:
            with make():
                time.sleep(seconds)

        return act

    @contextmanager
    def both() -> Iterator[None]:
        with site.cluster.without("redis"), site.cluster.without("postgres"):
            yield

    @contextmanager
    def full() -> Iterator[None]:
        filler = site.folder / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(1 << 20))
        try:
            yield
        finally:
            filler.unlink()

    def deploy() -> None:
        """A new process beside the old ones, the old one out of the names, then told to end; one after the other."""
        for name in ("data-0", "data-1"):
            old = site.hosts.pop(name)
            site.hosts[f"{name}-new"] = loopback_address()
            site.start(f"{name}-new")
            site.proxy.names.addresses |= site.groups()
            time.sleep(3)
            site.cluster.stop(name)
            del old

    return {
        "nothing": lambda: time.sleep(seconds),
        "a data process killed": killed("data-0"),
        "a data process stopped": within(lambda: stopped(tree(site, "data-0"))),
        "a stream process killed": killed("stream-0"),
        "the ingest killed": killed("ingest"),
        "Redis away": within(lambda: site.cluster.without("redis")),
        "Redis stopped": within(lambda: stopped(site.server("redis"))),
        "PostgreSQL away": within(lambda: site.cluster.without("postgres")),
        "PostgreSQL stopped": within(lambda: stopped(site.server("postgres"))),
        "both away": within(both),
        **(
            {
                "PostgreSQL's first host vanishes": within(lambda: vanished(site.apart[0])),
                "Redis vanishes": within(lambda: vanished(site.apart[2])),
                "both stores vanish": within(lambda: vanished(*site.apart)),
                "the disk is full": within(full),
            }
            if site.apart
            else {}
        ),
        "a deploy of both data processes": deploy,
    }


def obeyed_after(site: Site, evaluations: Evaluations) -> float:
    """Kill as soon as the platform takes it; the seconds until fifty answers in a row obey. Then release."""
    began = time.monotonic()
    while True:
        status, body = site.manage("flags/flag-0/kill", {"variant": "control", "reason": "measured"})
        if status == 202 or time.monotonic() - began > 60:
            break
        time.sleep(0.1)
    version = (body or {}).get("configVersion", 0)
    while time.monotonic() - began < 90:
        last = evaluations.seen[-50:]
        if last[0].at > began and all(one.answer.get("configVersion", 0) >= version for one in last):
            break
        time.sleep(0.05)
    took = evaluations.seen[-50].at - began
    site.manage("flags/flag-0/kill/release", {})
    return took


@contextmanager
def small_disk(folder: str, *, wanted: bool) -> Iterator[None]:
    """A file system of its own, in memory, that can be filled."""
    if not wanted:
        print("NOT TRIED: hosts that vanish, a full disk; they need root and network namespaces")
        yield
        return
    mount, umount = shutil.which("mount") or "mount", shutil.which("umount") or "umount"
    subprocess.run([mount, "-t", "tmpfs", "-o", "size=1g,mode=0755", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run([umount, "--lazy", folder], check=True)


def stored(folder: Path) -> dict[str, int]:
    with psycopg.connect(embedded.database_url(folder)) as connection:
        rows = connection.execute("SELECT unit_id, count(*) FROM conversions GROUP BY unit_id").fetchall()
    return dict(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="how long each failure lasts")
    parser.add_argument("--only", help="part of the names of the failures to try")
    options = parser.parse_args()
    rows: list[Row] = []
    apart = can_make_namespaces()
    with tempfile.TemporaryDirectory() as name, small_disk(name, wanted=apart):
        site = Site(Path(name), apart=apart)
        with site.running():
            about = (site.proxy.host, site.proxy.port, site.cluster.server_key)
            evaluations, events = Evaluations(*about), Events(*about)
            followers = [Follower(*about) for _ in range(5)]
            for one in (evaluations, events, *followers):
                one.start()
            time.sleep(3)
            for what, act in failures(site, options.seconds).items():
                if options.only and options.only not in what:
                    continue
                began = time.monotonic()
                act()
                took = obeyed_after(site, evaluations)
                seen = evaluations.between(began, time.monotonic())
                latencies = statistics.quantiles([one.seconds for one in seen], n=100)
                errors = sum(one.status != 200 for one in seen)
                rows.append(Row(what, len(seen), errors, 1000 * latencies[98], took))
                print(rows[-1], flush=True)
            for caller in (evaluations, events):
                caller.is_over.set()
                caller.join(30)
            for one in followers:
                one.is_over.set()
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and len(stored(site.folder)) < len(events.accepted):
                time.sleep(0.5)
            counts = stored(site.folder)
            lost = sum(one not in counts for one in events.accepted)
            doubled = sum(count > 1 for count in counts.values())
            gaps = sum(later != earlier + 1 for one in followers for earlier, later in itertools.pairwise(one.versions))
    lines = [
        "## Failures",
        "",
        f"`python -m benchmarks.failures --seconds {options.seconds:g}`; Python {platform.python_version()}, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}. Real processes behind the real Caddy: two web "
        "processes for data, one for control, two streams, an ingest. Meanwhile 50 evaluations a second, events, and "
        "five streams. The last column is the time from the end of the failure to a kill that every answer obeys.",
        "",
        "| failure | evaluations | errors | p99 | kill obeyed after |",
        "|---|---|---|---|---|",
        *(
            f"| {row.name} | {row.evaluations:,} | {row.errors} | {row.p99_ms:.0f} ms | {row.kill_seconds:.1f} s |"
            for row in rows
        ),
        "",
        f"{len(events.accepted):,} events accepted, {lost} lost, {doubled} doubled; {gaps} gaps in 5 streams.",
    ]
    if options.only:
        print("\n".join(lines))
    else:
        report("failures", lines)
    return 1 if lost or doubled or gaps else 0


if __name__ == "__main__":
    sys.exit(main())
