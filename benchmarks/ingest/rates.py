"""Batches of 500 over HTTP at a held rate: how many become rows, how soon, and what evaluations beside them notice."""

import http.client
import multiprocessing
import random
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
from openflagship.ids import uuid7

from benchmarks.http.load import Reading, Target, offered
from benchmarks.processes import FLAG, Tenant, ingest, tenant, until, web

PORT = 8123
BATCH = 500
USERS_PER_EVENT = 0.1
_SENDERS = 4
# Of the batches, so many a second are looked for until they are rows.
_WATCHED_PER_SECOND = 10
HEAD = ["| rate asked | held | accepted | stored in the end | refused | visible after the 202 | goal | met |"]
HEAD.append("|---|---|---|---|---|---|---|---|")


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
    beside: Reading | None = None

    @property
    def is_held(self) -> bool:
        return self.held >= 0.99 * self.rate and self.stored == self.accepted == self.sent

    def row(self, goal: str, is_met: bool) -> str:
        cuts = statistics.quantiles(self.delays, n=100) if len(self.delays) > 1 else [float("nan")] * 99
        fresh = f"p50 {cuts[49]:.2f} s, p99 {cuts[98]:.2f} s, {len(self.delays):,} samples"
        held = f"{self.held:,.0f}/s for {self.seconds:.0f} s"
        return (
            f"| {self.rate:,}/s | {held} | {self.accepted:,} | {self.stored:,} | {self.refused:,} | {fresh} | {goal} | "
            f"{'yes' if is_met else '**no**'} |"
        )

    @property
    def p99_seconds(self) -> float:
        return statistics.quantiles(self.delays, n=100)[98]


def fresh(rate: int, seconds: float, variables: dict[str, str], processes: int) -> list[str]:
    customer = tenant()
    with web(variables, PORT), ingest(variables, processes):
        run = _hold(rate, seconds, customer)
    return [*HEAD, run.row("all stored, visible p99 under 2 s", run.is_held and run.p99_seconds < 2)]


def sustained(
    rate: int, seconds: float, variables: dict[str, str], processes: int, evaluations_per_second: int
) -> list[str]:
    customer = tenant()
    with (
        web(variables, PORT) as pid,
        ingest(variables, processes),
        _evaluating(pid, customer, evaluations_per_second, seconds) as asking,
    ):
        run = _hold(rate, seconds, customer)
        beside: Reading = asking.result()
    return [
        *HEAD,
        run.row("held, all stored", run.is_held),
        "",
        f"Beside it {beside.rate:,.0f} evaluations a second (open loop, their exposures among the rows stored): p50 "
        f"{beside.p50:.1f} ms, p99 {beside.p99:.1f} ms, {beside.errors:,} errors.",
    ]


def evaluations(pid: int, customer: Tenant, *, port: int = PORT) -> Target:
    """A thousand users, one after the other."""
    requests = [
        ("/api/flags/evaluate", orjson.dumps({"flagKey": FLAG, "userId": f"user-{number}"})) for number in range(1000)
    ]
    return Target("evaluate", port, requests, (pid,), {"Authorization": f"Bearer {customer.secret}"})


@contextmanager
def _evaluating(pid: int, customer: Tenant, rate: int, seconds: float) -> Iterator[Any]:
    """In a process of its own: the senders' threads would delay its clock."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool.submit(offered, evaluations(pid, customer), rate, seconds)


def _hold(rate: int, seconds: float, customer: Tenant) -> Run:
    """Send batches on time, whatever the answers take, and ask for a sample of them until it is a row."""
    run = Run(rate, seconds)
    lock = threading.Lock()
    watched: list[tuple[str, float]] = []
    _warm_up(customer)
    before = _stored(customer)
    started = time.perf_counter()
    turns = iter(range(int(rate * seconds / BATCH)))
    users = int(rate * seconds * USERS_PER_EVENT)
    every = max(1, rate // BATCH // _WATCHED_PER_SECOND)

    def send() -> None:
        rng = random.Random(threading.get_ident())
        client = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
        headers = {"Authorization": f"Bearer {customer.secret}", "Content-Type": "application/json"}
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
                    if not turn % every:
                        watched.append((last_id, time.perf_counter()))
                else:
                    run.refused += BATCH

    senders = [threading.Thread(target=send) for _ in range(_SENDERS)]
    for sender in senders:
        sender.start()
    while any(sender.is_alive() for sender in senders) or watched:
        with lock:
            waiting = list(watched)
        seen = _visible([event_id for event_id, _ in waiting])
        now = time.perf_counter()
        run.delays += [now - since for event_id, since in waiting if event_id in seen]
        with lock:
            watched[:] = [pair for pair in watched if pair[0] not in seen]
        time.sleep(0.02)
    until(lambda: _stored(customer) - before >= run.accepted, seconds=300)
    run.stored = _stored(customer) - before
    return run


def _warm_up(customer: Tenant) -> None:
    """Send one batch through, so that no process's start is taken for a delay."""
    body, last_id = _body(random.Random(1), BATCH)
    client = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
    client.request("POST", "/api/events/exposure", body, {"Authorization": f"Bearer {customer.secret}"})
    assert client.getresponse().status == 202
    until(lambda: bool(_visible([last_id])), seconds=60)


def _body(rng: random.Random, users: int) -> tuple[bytes, str]:
    now = datetime.now(UTC)
    events = []
    for _ in range(BATCH):
        user = rng.randrange(users)
        events.append(
            {
                "evaluationId": uuid7(),
                "flagKey": FLAG,
                "userId": f"user-{user}",
                "variant": "treatment" if user % 2 else "control",
                "timestamp": now,
                "experiment": "checkout-test",
                "reason": "SPLIT",
            }
        )
    return orjson.dumps({"events": events}), str(events[-1]["evaluationId"])


def _stored(customer: Tenant) -> int:
    """What was sent, not what evaluations beside it have logged: those carry another reason."""
    return int(
        _rows(
            "SELECT coalesce(sum(exposures), 0)::bigint FROM flag_exposure_hours "
            "WHERE environment_id = %s AND reason = 'SPLIT' AND variant IN ('control', 'treatment')",
            customer.environment_id,
        )[0][0]
    )


def _visible(event_ids: list[str]) -> set[str]:
    if not event_ids:
        return set()
    return {
        str(found)
        for (found,) in _rows("SELECT evaluation_id FROM exposures WHERE evaluation_id = ANY(%s::uuid[])", event_ids)
    }


def _rows(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    from django.db import connection  # noqa: PLC0415 - after setup

    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())
