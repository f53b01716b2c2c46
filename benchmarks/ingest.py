"""Events from HTTP to rows: the ingest alone against COPY's ceiling, a sustained rate, and how fresh the rows are.

`python -m benchmarks.ingest [--seconds 300] [--rate 20000] [--fresh-rate 5000] [--events 1000000]`
"""

import argparse
import http.client
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson
from openflagship.ids import uuid7

from benchmarks.events_world import ROOT, empty, machine, report, world

PORT = 8123
BATCH = 500
USERS_PER_EVENT = 0.1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=300, help="How long each rate is held.")
    parser.add_argument("--rate", type=int, default=20_000)
    parser.add_argument("--fresh-rate", type=int, default=5_000)
    parser.add_argument("--events", type=int, default=1_000_000, help="For the ingest alone.")
    parser.add_argument("--processes", type=int, default=1, help="Ingest processes.")
    options = parser.parse_args()
    lines = [
        "## Events, from HTTP to rows",
        "",
        f"{machine()}; PostgreSQL with fsync, Redis with its append-only file.",
    ]
    with world() as variables:
        lines += ["", *_alone(options, variables)]
        empty()
        secret = _server_key()
        with _processes(options, variables):
            lines += ["", "| rate asked | held | accepted | stored in the end | refused | visible after the 202 |"]
            lines.append("|---|---|---|---|---|---|")
            for rate in (options.fresh_rate, options.rate):
                run = _hold(rate, options.seconds, secret)
                lines.append(run.row())
                print(lines[-1], flush=True)
    report("ingest", lines)


def _alone(options: argparse.Namespace, variables: dict[str, str]) -> list[str]:
    """A full stream drained by one process, beside the bare statements on the same table."""
    from analytics import stream  # noqa: PLC0415 - after setup
    from analytics.events import Batch, pack  # noqa: PLC0415 - likewise
    from analytics.stream import PUBLISHER  # noqa: PLC0415 - likewise

    lines = [
        f"Ingest alone, {options.events:,} exposures in entries of {BATCH}, beside COPY to staging and "
        "`INSERT … ON CONFLICT` into the same table and nothing else (one connection, 10,000 rows a commit):",
        "",
        "| exposures of | ingest, rows/s | bare COPY + INSERT, rows/s | share |",
        "|---|---|---|---|",
    ]
    for users in (options.events // 10, options.events // 2):
        empty()
        events = _exposures(options.events, users, environment_id=1)
        for start in range(0, len(events), BATCH):
            PUBLISHER.append([pack(Batch(exposures=events[start : start + BATCH]))])
        process = _start([sys.executable, "manage.py", "ingest"], variables)
        try:
            entries = stream.length()
            _until(lambda: stream.length() < entries, seconds=60)  # noqa: B023 - asked for within this turn
            started, first = time.perf_counter(), stream.length()
            _until(lambda: stream.length() == 0, seconds=600)
            rate = first * BATCH / (time.perf_counter() - started)
        finally:
            _stop(process)
        ceiling = _ceiling(_exposures(options.events // 2, users, environment_id=2))
        lines.append(f"| {users:,} users | {rate:,.0f} | {ceiling:,.0f} | {rate / ceiling:.0%} |")
        print(lines[-1], flush=True)
    return lines


def _exposures(count: int, users: int, *, environment_id: int) -> list[Any]:
    from analytics.events import Exposure  # noqa: PLC0415 - after setup

    rng = random.Random(1)
    now_ms = time.time_ns() // 1_000_000
    found = []
    for number in range(count):
        user = rng.randrange(users)
        at = now_ms + number // 50
        variant = "treatment" if user % 2 else "control"
        found.append(
            Exposure(
                *(uuid7(at), environment_id, "new-checkout", f"user-{user}", variant, "SPLIT", None, "checkout-test"),
                *(1, at, at, "bench"),
            )
        )
    return found


def _ceiling(events: list[Any]) -> float:
    from django.db import connection, transaction  # noqa: PLC0415 - after setup

    from analytics.stores import postgres_sql as sql  # noqa: PLC0415 - likewise
    from analytics.stores.postgres import _stage  # noqa: PLC0415 - the same way into staging

    bare = sql.INSERT_EXPOSURES.split("INSERT INTO", 1)[1].split("RETURNING", 1)[0]
    rows = [(*msgspec.structs.astuple(event), False) for event in events]
    started = time.perf_counter()
    for start in range(0, len(rows), 10_000):
        with transaction.atomic(), connection.cursor() as cursor:
            _stage(cursor, sql.STAGED_EXPOSURES, rows[start : start + 10_000])
            cursor.execute("INSERT INTO" + bare)
    return len(rows) / (time.perf_counter() - started)


@dataclass(slots=True)
class Run:
    """What came of holding one rate."""

    rate: int
    seconds: float
    sent: int = 0
    accepted: int = 0
    stored: int = 0
    refused: int = 0
    held: float = 0.0
    delays: list[float] = field(default_factory=list)

    def row(self) -> str:
        cuts = statistics.quantiles(self.delays, n=100) if len(self.delays) > 1 else [float("nan")] * 99
        fresh = f"p50 {cuts[49]:.2f} s, p99 {cuts[98]:.2f} s, {len(self.delays):,} samples"
        held = f"{self.held:,.0f}/s for {self.seconds:.0f} s"
        return f"| {self.rate:,}/s | {held} | {self.accepted:,} | {self.stored:,} | {self.refused:,} | {fresh} |"


def _hold(rate: int, seconds: float, secret: str) -> Run:
    """Send batches of 500 on time, whatever the answers take, and ask for a sample of them until it is a row."""
    empty_counts = _stored()
    run = Run(rate, seconds)
    lock = threading.Lock()
    watched: list[tuple[str, float]] = []
    started = time.perf_counter()
    turns = iter(range(int(rate * seconds / BATCH)))
    users = int(rate * seconds * USERS_PER_EVENT)

    def send() -> None:
        rng = random.Random(threading.get_ident())
        client = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        while True:
            with lock:
                turn = next(turns, None)
            if turn is None:
                return
            body, last_id = _body(rng, users)
            pause = started + turn * BATCH / rate - time.perf_counter()
            if pause > 0:
                time.sleep(pause)
            client.request("POST", "/api/events/exposure", body, headers)
            answer = client.getresponse()
            content = answer.read()
            with lock:
                run.sent += BATCH
                run.held = run.sent / max(time.perf_counter() - started, seconds)
                if answer.status == 202:
                    run.accepted += orjson.loads(content)["accepted"]
                    if turn % max(1, int(rate / BATCH)) == 0:
                        watched.append((last_id, time.perf_counter()))
                else:
                    run.refused += BATCH

    senders = [threading.Thread(target=send) for _ in range(4)]
    for sender in senders:
        sender.start()
    while any(sender.is_alive() for sender in senders) or watched:
        with lock:
            waiting = list(watched)
        for event_id, since in waiting:
            if _is_visible(event_id):
                run.delays.append(time.perf_counter() - since)
                with lock:
                    watched.remove((event_id, since))
        time.sleep(0.01)
    _until(lambda: _stored() - empty_counts >= run.accepted, seconds=300)
    run.stored = _stored() - empty_counts
    return run


def _body(rng: random.Random, users: int) -> tuple[bytes, str]:
    now = datetime.now(UTC)
    events = []
    for _ in range(BATCH):
        user = rng.randrange(users)
        events.append(
            {
                "evaluationId": uuid7(),
                "flagKey": "new-checkout",
                "userId": f"user-{user}",
                "variant": "treatment" if user % 2 else "control",
                "timestamp": now,
                "experiment": "checkout-test",
                "reason": "SPLIT",
            }
        )
    return orjson.dumps({"events": events}), str(events[-1]["evaluationId"])


def _stored() -> int:
    return int(_value("SELECT coalesce(sum(exposures), 0)::bigint FROM flag_exposure_hours"))


def _is_visible(event_id: str) -> bool:
    return bool(_value("SELECT count(*) FROM exposures WHERE evaluation_id = %s", event_id))


def _value(sql: str, *parameters: Any) -> Any:
    from django.db import connection  # noqa: PLC0415 - after setup

    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchone()[0]


def _server_key() -> str:
    """A key of an organization made for this run."""
    from audit.actors import system  # noqa: PLC0415 - after setup
    from tenancy import services  # noqa: PLC0415 - likewise

    actor, slug = system("benchmark"), f"bench-{time.time_ns()}"
    organization = services.create_organization(actor=actor, slug=slug, name="Benchmark")
    project = services.create_project(actor=actor, organization=organization, key="web", name="Web")
    environment = services.create_environment(actor=actor, project=project, key="production", name="Production")
    issued = services.issue_credential(
        actor=actor, kind="server", name="bench", organization=organization, environment=environment
    )
    return issued.secret


@contextmanager
def _processes(options: argparse.Namespace, variables: dict[str, str]) -> Iterator[None]:
    web = [
        *("granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(PORT), "--workers", "1"),
        *("--blocking-threads", "1", "--no-ws", "flagship.wsgi:application"),
    ]
    running = [_start(web, variables)]
    running += [_start([sys.executable, "manage.py", "ingest"], variables) for _ in range(options.processes)]
    try:
        _until(_is_up, seconds=60)
        yield
    finally:
        for process in running:
            _stop(process)


def _is_up() -> bool:
    try:
        client = http.client.HTTPConnection("127.0.0.1", PORT, timeout=2)
        client.request("GET", "/readyz")
        return client.getresponse().status == 200
    except OSError:
        return False


def _start(command: list[str], variables: dict[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, cwd=ROOT, env=variables)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _until(condition: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the benchmark's processes did not get there in time")
        time.sleep(0.01)


if __name__ == "__main__":
    main()
