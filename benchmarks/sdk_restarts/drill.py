"""A service that goes on while its FlagShip server is killed and started again: `python -m benchmarks.sdk_restarts`.

The server is a web and a stream process, ended by SIGKILL under load. Counted are exceptions in the service, defaults
served once a configuration was had, and events that the client took and no row shows; all three must be 0.
"""

import argparse
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openflagship import FlagShip

from benchmarks.world import ROOT, machine, report, set_up_django

VAR_DIR = ROOT / "var" / "bench-sdk-restarts"
WAIT_SECONDS = 180
# Between two users; some hundred events a second, so that what gathers while the server is away stays within bounds.
PAUSE_SECONDS = 0.01
_MISSING = object()


def wait_until(check: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {WAIT_SECONDS} s still not: {what}")
        time.sleep(0.05)


class Server:
    """The Procfile's web and stream on ports of their own, to be killed and started."""

    def __init__(self, variables: Mapping[str, str], web_port: int, stream_port: int, log: Path) -> None:
        self.url, self.stream_url = f"http://127.0.0.1:{web_port}", f"http://127.0.0.1:{stream_port}"
        self._log = log
        self._variables = {
            **variables,
            "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
            "WEB_PORT": str(web_port),
            "WEB_WORKERS": "1",
            "STREAM_PORT": str(stream_port),
        }
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Return once both are ready."""
        commands = dict(line.split(":", 1) for line in (ROOT / "Procfile").read_text().splitlines() if ":" in line)
        for name in ("web", "stream"):
            with self._log.open("ab") as log:
                self._running.append(
                    subprocess.Popen(
                        commands[name],
                        shell=True,
                        cwd=ROOT,
                        env={**self._variables, "PROCESS_NAME": f"restarted-{name}"},
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )
        wait_until(lambda: self._is_ready(self.url) and self._is_ready(self.stream_url), f"ready; see {self._log}")

    def kill(self) -> None:
        """As a machine that loses its power: nothing is flushed, no connection is said good-bye to."""
        for process in self._running:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        for process in self._running:
            process.wait()
        self._running = []

    @staticmethod
    def _is_ready(url: str) -> bool:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=30) as response:
                return bool(response.status == 200)
        except OSError:
            return False


@dataclass
class Outcome:
    """What the service saw; `unit` begins the ids of all of its users."""

    unit: str = field(default_factory=lambda: f"restart-{uuid.uuid4().hex[:12]}-")
    restarts: int = 0
    evaluations: int = 0
    tracked: int = 0
    exposed: int = 0
    defaults: int = 0
    exceptions: list[str] = field(default_factory=list)
    slowest_seconds: float = 0.0
    stale: int = 0
    lost: int = 0
    dropped: int = 0
    rejected: int = 0
    reconnects: int = 0
    sent: int = 0


class _Errors(logging.Handler):
    def __init__(self, found: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        self._found.append(record.getMessage())


class Service(threading.Thread):
    """Evaluates and tracks for a new user all the time, and for old ones in between."""

    def __init__(self, client: FlagShip, flag_key: str, outcome: Outcome) -> None:
        super().__init__(daemon=True)
        self._client, self._flag_key, self._outcome = client, flag_key, outcome
        self._is_ending = threading.Event()

    def run(self) -> None:
        outcome = self._outcome
        number = 0
        while not self._is_ending.wait(PAUSE_SECONDS):
            try:
                self._visit(f"{outcome.unit}{number}", is_new=True)
                for _ in range(20):
                    self._visit(f"{outcome.unit}{random.randint(max(0, number - 200), number)}", is_new=False)
                self._client.all_flags("somebody")
            except Exception as error:  # noqa: BLE001 - that there is none is what is measured
                outcome.exceptions.append(repr(error))
            number += 1

    def end(self) -> None:
        self._is_ending.set()
        self.join()

    def _visit(self, user: str, *, is_new: bool) -> None:
        outcome = self._outcome
        start = time.perf_counter()
        answer = self._client.variation_detail(self._flag_key, user, _MISSING)
        if is_new:
            self._client.track("restart-drill", user, 1.0)
            outcome.tracked += 1
            outcome.exposed += answer.is_exposure
        outcome.slowest_seconds = max(outcome.slowest_seconds, time.perf_counter() - start)
        outcome.evaluations += 1
        outcome.defaults += answer.value is _MISSING or answer.error_code is not None
        outcome.stale += answer.stale


def drill(
    server: Server, server_key: str, flag_key: str, change: Callable[[], int], *, restarts: int, away_seconds: float
) -> Outcome:
    """Start the server, and kill and start it under load; `change` changes something and returns its version.

    Each time the client must follow a change that was made while the server was away.
    """
    outcome = Outcome()
    errors = _Errors(outcome.exceptions)
    logging.getLogger("openflagship").addHandler(errors)
    try:
        server.start()
        client = FlagShip(
            server_key,
            server.url,
            stream_url=server.stream_url,
            start_wait_seconds=WAIT_SECONDS,
            close_wait_seconds=WAIT_SECONDS,
            most_backoff_seconds=2.0,
            breaker_seconds=2.0,
            flush_seconds=0.5,
        )
        if not client.status().is_ready:
            raise TimeoutError("the client had no configuration")
        service = Service(client, flag_key, outcome)
        service.start()
        try:
            for _ in range(restarts):
                _restart(server, client, outcome, change, random.uniform(0, away_seconds))
        finally:
            service.end()
        client.close()
        status = client.status()
        outcome.lost, outcome.dropped = status.events_lost + status.events_pending, status.events_dropped
        outcome.rejected, outcome.reconnects, outcome.sent = (
            status.events_rejected,
            status.reconnects,
            status.events_sent,
        )
    finally:
        server.kill()
        logging.getLogger("openflagship").removeHandler(errors)
    return outcome


def _restart(
    server: Server, client: FlagShip, outcome: Outcome, change: Callable[[], int], away_seconds: float
) -> None:
    sent, tracked = client.status().events_sent, outcome.tracked
    wait_until(lambda: client.status().events_sent > sent, "events sent")
    wait_until(lambda: outcome.tracked > tracked + 20, "load")
    # What gathered in the last outage is gone; or twenty of them in a row would fill the client's bounded memory.
    wait_until(lambda: client.status().events_pending < 500, "events sent")
    server.kill()
    version = change()
    time.sleep(away_seconds)
    server.start()
    wait_until(lambda: client.status().config_version >= version, "the change made meanwhile")
    outcome.restarts += 1


def missing(outcome: Outcome, count: Callable[[str, str], tuple[int, int]]) -> int:
    """Events without a row, and rows too many; `count(table, unit)` gives a table's rows and different users.

    Waits until ingestion has caught up.
    """
    wanted = {"conversions": outcome.tracked, "exposures": outcome.exposed}
    with suppress(TimeoutError):
        wait_until(lambda: all(count(table, outcome.unit)[1] >= wanted[table] for table in wanted), "rows")
    users = {table: count(table, outcome.unit) for table in wanted}
    repeats = users["conversions"][0] - users["conversions"][1]
    return sum(wanted[table] - users[table][1] for table in wanted) + repeats


def rows(outcome: Outcome, without_row: int) -> list[str]:
    verdicts = {
        "exceptions in the service, or errors in its log": len(outcome.exceptions),
        "defaults served": outcome.defaults,
        "events that could not be sent, found no room, or were refused": (
            outcome.lost + outcome.dropped + outcome.rejected
        ),
        "events without a row, or with two": without_row,
    }
    return [
        f"{outcome.restarts} times web and stream were killed under load and started again: {outcome.evaluations:,} "
        f"evaluations, {outcome.tracked:,} conversions and {outcome.exposed:,} users' exposures, "
        f"{outcome.reconnects} reconnects, slowest call {outcome.slowest_seconds * 1000:.0f} ms on a loaded machine.",
        "",
        "| what | measured | promise | met |",
        "|---|---|---|---|",
        *(f"| {what} | {found} | 0 | {'no' if found else 'yes'} |" for what, found in verdicts.items()),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--restarts", type=int, default=20)
    parser.add_argument("--away-seconds", type=float, default=5.0, help="at most, between a kill and the start")
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md alone")
    options = parser.parse_args()
    set_up_django(VAR_DIR, REDIS_PREFIX="cluster")
    from flags.testing.cluster import Cluster, free_port  # noqa: PLC0415 - after setup
    from flagship import embedded  # noqa: PLC0415 - likewise

    with Cluster(embedded, VAR_DIR, web_workers=1, flags=3) as cluster:
        ingest = subprocess.Popen([sys.executable, "manage.py", "ingest"], cwd=ROOT, env=cluster.variables)
        try:
            outcome = drill(
                Server(cluster.variables, free_port(), free_port(), VAR_DIR / "restarted.log"),
                cluster.server_key,
                "flag-0",
                lambda: _kill_or_release(cluster),
                restarts=options.restarts,
                away_seconds=options.away_seconds,
            )
            without_row = missing(outcome, lambda table, unit: _count(embedded.database_url(VAR_DIR), table, unit))
        finally:
            ingest.terminate()
            ingest.wait()
    lines = ["## Server killed and started again under load", "", *rows(outcome, without_row), "", machine()]
    for text in outcome.exceptions[:20]:
        print(text, file=sys.stderr)
    if options.print:
        print("\n".join(lines))
    else:
        report("sdk-restarts", lines)
    return int(any(" no |" in line for line in lines))


def _kill_or_release(cluster: Any) -> int:
    """The flag next to the one under load: killed where it was not, released where it was."""
    status, answer = cluster.manage("POST", "flags/flag-1/kill", {"variant": "control", "reason": "drill"})
    if status != 202:
        raise RuntimeError(f"kill: {status} {answer}")
    status, answer = cluster.manage("POST", "flags/flag-1/kill/release", {})
    if status != 202:
        raise RuntimeError(f"release: {status} {answer}")
    return int(answer["configVersion"])


def _count(database_url: str, table: str, unit: str) -> tuple[int, int]:
    import psycopg  # noqa: PLC0415 - a part of the platform, which this module's other users may not have

    query = f"SELECT count(*), count(DISTINCT unit_id) FROM {table} WHERE unit_id LIKE %s"
    with psycopg.connect(database_url) as connection:
        found = connection.execute(query, [f"{unit}%"]).fetchone()
    return (int(found[0]), int(found[1])) if found else (0, 0)
