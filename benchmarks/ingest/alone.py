"""A full stream drained by one ingest process, beside the bare statements on the same table, in alternating rounds."""

import random
import statistics
import sys
import time
from typing import Any

import msgspec
import psutil
from openflagship.ids import uuid7

from benchmarks.processes import cpu_seconds, server, start, stop, until
from benchmarks.world import empty_events

BATCH = 500
_ROWS_A_COMMIT = 10_000
# The ceiling's own statements, which stay as they are whatever way the ingest takes.
_STAGED = """
evaluation_id uuid, environment_id int8, flag_key text, unit_id text, variant text, reason text, rule_id text,
experiment text, config_version int8, occurred_ms int8, received_ms int8, source text, user_agent text,
attributes text, is_bot bool
"""
_INSERT = """
INSERT INTO exposures (
    evaluation_id, environment_id, flag_key, unit_id, variant, reason, rule_id, experiment, config_version,
    occurred_at, received_at, source, user_agent, attributes, is_bot
)
SELECT
    evaluation_id, environment_id, flag_key, unit_id, variant, reason, rule_id, experiment, config_version,
    to_timestamp(occurred_ms / 1000.0::float8), to_timestamp(received_ms / 1000.0::float8), source, user_agent,
    attributes::jsonb, is_bot
FROM bare_exposures ORDER BY evaluation_id, environment_id
ON CONFLICT DO NOTHING
"""


def measure(count: int, rounds: int, variables: dict[str, str]) -> list[str]:
    lines = [
        f"{count:,} exposures in entries of {BATCH}, drained by one `ingest` process, beside COPY to staging and "
        f"`INSERT … ON CONFLICT` into the same table and nothing else (one connection, {_ROWS_A_COMMIT:,} rows a "
        "commit): "
        f"medians of {rounds} alternating rounds, ranges in brackets.",
        "",
        "| exposures of | ingest, rows/s | bare COPY + INSERT, rows/s | share | at least half | "
        "CPU µs an event: ingest | its PostgreSQL | Redis |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for users in (1000, count // 10, count // 2):
        drained, ceilings, shares = [], [], []
        costs: list[list[float]] = []
        for number in range(rounds):
            empty_events()
            if number % 2:
                ceilings.append(_ceiling(exposures(count // 2, users, environment_id=2)))
                drained.append(_drained(exposures(count, users, environment_id=1), variables, costs))
            else:
                drained.append(_drained(exposures(count, users, environment_id=1), variables, costs))
                ceilings.append(_ceiling(exposures(count // 2, users, environment_id=2)))
            shares.append(drained[-1] / ceilings[-1])
        share = statistics.median(shares)
        lines.append(
            f"| {users:,} users | {_range(drained)} | {_range(ceilings)} | "
            f"{share:.0%} ({min(shares):.0%} to {max(shares):.0%}) | {'yes' if share >= 0.5 else '**no**'} | "
            f"{' | '.join(f'{statistics.median(cost):.1f}' for cost in zip(*costs, strict=True))} |"
        )
        print(lines[-1], flush=True)
    return lines


def _range(rates: list[float]) -> str:
    return f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"


def _drained(events: list[Any], variables: dict[str, str], costs: list[list[float]]) -> float:
    """Return the rate, and append what an event took of each process's CPU."""
    from analytics.event_records import Batch, pack  # noqa: PLC0415 - likewise
    from analytics.pipeline.brokers import broker  # noqa: PLC0415 - after setup

    for place in range(0, len(events), BATCH):
        broker().append([pack(Batch(exposures=events[place : place + BATCH]))])
    process = start([sys.executable, "manage.py", "ingest"], variables)
    try:
        entries = broker().length()
        until(lambda: broker().length() < entries, seconds=120)
        processes = [psutil.Process(process.pid), server("postgres"), server("redis-server")]
        used = [cpu_seconds(process) for process in processes]
        started, first = time.perf_counter(), broker().length()
        until(lambda: broker().length() == 0, seconds=600)
        rate = first * BATCH / (time.perf_counter() - started)
        found = [cpu_seconds(process) - before for process, before in zip(processes, used, strict=True)]
        costs.append([seconds / (first * BATCH) * 1e6 for seconds in found])
        return rate
    finally:
        stop(process)


def exposures(count: int, users: int, *, environment_id: int) -> list[Any]:
    from analytics.event_records import ExposureEvent  # noqa: PLC0415 - after setup

    rng = random.Random(1)
    now_ms = time.time_ns() // 1_000_000
    found = []
    for number in range(count):
        user = rng.randrange(users)
        at = now_ms + number // 50
        variant = "treatment" if user % 2 else "control"
        found.append(
            ExposureEvent(
                *(uuid7(at), environment_id, "new-checkout", f"user-{user}", variant, "SPLIT", None, "checkout-test"),
                *(1, at, at, "bench"),
            )
        )
    return found


def _ceiling(events: list[Any]) -> float:
    from django.db import connection, transaction  # noqa: PLC0415 - after setup

    rows = [(*msgspec.structs.astuple(event), False) for event in events]
    started = time.perf_counter()
    for place in range(0, len(rows), _ROWS_A_COMMIT):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                f"CREATE TEMPORARY TABLE IF NOT EXISTS bare_exposures ({_STAGED}) ON COMMIT DELETE ROWS;"
                "DELETE FROM bare_exposures"
            )
            with cursor.copy("COPY bare_exposures FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types([column.split()[1] for column in _STAGED.split(",")])
                for row in rows[place : place + _ROWS_A_COMMIT]:
                    copy.write_row(row)
            cursor.execute(_INSERT)
    return len(rows) / (time.perf_counter() - started)
