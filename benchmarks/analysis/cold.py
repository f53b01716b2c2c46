"""A cold start: events of a new name are loaded, and results are asked for at once, before autovacuum has looked."""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from benchmarks.analysis.load import END, START

_EVENTS = 1_000_000
_BATCH = 10_000
_WEEK = timedelta(days=7)
_WANTED_SECONDS = 5.0
# The same events, past the ingest: nothing analyses the table after them but autovacuum.
_IN_BULK = """
INSERT INTO conversions (event_id, environment_id, unit_id, event_name, value, occurred_at, received_at, is_bot)
SELECT uuidv7(occurred_at - now() + interval '1 ms'), environment_id, unit_id, 'in-bulk', value, occurred_at,
       received_at, is_bot
FROM conversions WHERE event_name = 'loaded'
"""


def measure(options: argparse.Namespace) -> list[str]:
    """Load half a million exposures and as many conversions by the store, then ask; then the same in bulk."""
    environment_id = options.tenant.environment_id
    started = time.perf_counter()
    _load(environment_id)
    lines = [
        f"{_EVENTS:,} events of a new experiment and a new name in batches of {_BATCH:,}, stored as the ingest stores "
        f"them in {time.perf_counter() - started:.0f} s; each question is asked once, as soon as the last is stored.",
        "",
        "| asked at once | seconds | wanted |",
        "|---|---:|---:|",
        *_rows(environment_id, "loaded"),
    ]
    from django.db import connection  # noqa: PLC0415 - after setup

    with connection.cursor() as cursor:
        cursor.execute(_IN_BULK)
    return [*lines, *_rows(environment_id, "in-bulk")]


def _rows(environment_id: int, event_name: str) -> list[str]:
    from analytics import selectors  # noqa: PLC0415 - after setup

    period = selectors.Period(environment_id, "cold-start", START, END)
    rate = selectors.Pairing(selectors.Figure(selectors.Kind.CONVERTED, event_name), None, _WEEK, _WEEK)
    total = selectors.Figure(selectors.Kind.TOTAL, event_name)
    revenue = replace(rate, y=total, x=total, before=2 * _WEEK)
    values = selectors.Distribution(selectors.Scope.EVENTS, replace(rate, y=total))
    asked: list[tuple[str, Callable[[], Any]]] = [
        ("users by variant and day", lambda: selectors.exposure_summary(period)),
        ("rate", lambda: selectors.pair_summary(period, rate)),
        ("sum with CUPED", lambda: selectors.pair_summary(period, revenue)),
        ("events' values, for a quantile", lambda: selectors.distribution(period, values)),
        (
            "a flag's baseline",
            lambda: selectors.converted_units(
                environment_id, "cold-flag", START, END, event_name=event_name, window=_WEEK
            ),
        ),
    ]
    rows, seconds = [], []
    how = "by the ingest" if event_name == "loaded" else "in bulk, nothing analysed"
    for name, ask in asked:
        started = time.perf_counter()
        ask()
        seconds.append(time.perf_counter() - started)
        rows.append(f"| {name}, loaded {how} | {seconds[-1]:.2f} | |")
    result = seconds[0] + 2 * seconds[1]
    # A result asks for its metric twice: of all users, and of those whose windows are over.
    return [*rows, f"| what a result of one rate asks, loaded {how} | {result:.2f} | < {_WANTED_SECONDS:g} |"]


def _load(environment_id: int) -> None:
    from openflagship.ids import uuid7  # noqa: PLC0415 - after setup

    from analytics.event_records import Batch, ConversionEvent, ExposureEvent  # noqa: PLC0415 - likewise
    from analytics.services import open_phase, store_events  # noqa: PLC0415 - likewise

    open_phase(environment_id=environment_id, experiment="cold-start", started_at=START)
    first, span = int(START.timestamp() * 1000), int((END - START).total_seconds() * 1000)
    half = _EVENTS // 2
    for begin in range(0, half, _BATCH):
        exposures, conversions = [], []
        for number in range(begin, begin + _BATCH):
            at, unit = first + number * span // half, f"cold-{number}"
            variant = "control" if hash(unit) % 2 else "treatment"
            exposures.append(
                ExposureEvent(
                    uuid7(at),
                    environment_id,
                    "cold-flag",
                    unit,
                    variant,
                    "SPLIT",
                    None,
                    "cold-start",
                    1,
                    at,
                    at,
                    "bench",
                )
            )
            # One in three comes back within the window, some of them more than once.
            back, later = f"cold-{number % (number // 3 + 1)}", at + 3_600_000
            conversions.append(
                ConversionEvent(uuid7(later), environment_id, back, "loaded", float(number % 97), later, later)
            )
        store_events(Batch(exposures, conversions))
