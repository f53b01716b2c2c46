"""The analysis queries at size, beside the same written by hand: `python -m benchmarks.analysis [--exposures N]`."""

import argparse
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.events_world import machine, report, world

START = datetime(2026, 1, 5, tzinfo=UTC)
DAYS = 14
END = START + timedelta(days=DAYS)

# One unit in a hundred is a bot, one in two hundred sees both variants; times are spread over the fortnight.
_EXPOSURES = """
INSERT INTO exposures (
    evaluation_id, environment_id, flag_key, unit_id, variant, reason, experiment, config_version,
    occurred_at, received_at, source, is_bot
)
SELECT uuidv7(moment - now()), 1, 'new-checkout', 'user-' || unit,
       CASE WHEN (unit %% 2 = 0) <> (unit %% 200 = 7 AND number %% 3 = 1) THEN 'control' ELSE 'treatment' END,
       'SPLIT', 'checkout-test', 1, moment, moment, 'bench', unit %% 100 = 3
FROM (
    SELECT number, number %% %(units)s AS unit,
           %(start)s + (hashint8(number) & 2147483647) / 2147483647.0 * interval '14 days' AS moment
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS number
) AS events ORDER BY moment
"""
_CONVERSIONS = """
INSERT INTO conversions (event_id, environment_id, unit_id, event_name, value, occurred_at, received_at, is_bot)
SELECT uuidv7(moment - now()), 1, 'user-' || unit, 'purchase', (hashint8(number + 7) & 65535) / 100.0,
       moment, moment, unit %% 100 = 3
FROM (
    SELECT number, (hashint8(number * 31) & 2147483647) %% %(units)s AS unit,
           %(start)s + (hashint8(number + 1) & 2147483647) / 2147483647.0 * interval '21 days' AS moment
    FROM generate_series(1, %(conversions)s::bigint) AS number
) AS events ORDER BY moment
"""
_HOURS = """
INSERT INTO flag_exposure_hours (environment_id, flag_key, hour, variant, reason, exposures, bots)
SELECT environment_id, flag_key, date_trunc('hour', occurred_at, 'UTC') AS hour, variant, reason,
       count(*) FILTER (WHERE NOT is_bot), count(*) FILTER (WHERE is_bot)
FROM exposures GROUP BY environment_id, flag_key, hour, variant, reason
"""
_UNITS = """
WITH units AS (
    INSERT INTO flag_units (environment_id, flag_key, variant, unit_id, last_hour)
    SELECT environment_id, flag_key, variant, unit_id, date_trunc('hour', max(occurred_at), 'UTC')
    FROM exposures WHERE NOT is_bot GROUP BY environment_id, flag_key, variant, unit_id
    RETURNING environment_id, flag_key, variant, last_hour
)
INSERT INTO flag_unit_hours (environment_id, flag_key, last_hour, variant, units)
SELECT environment_id, flag_key, last_hour, variant, count(*) FROM units
GROUP BY environment_id, flag_key, last_hour, variant
"""
# What somebody who knows the schema would type for a binary metric and nothing else.
_BY_HAND = """
SELECT first.variant, count(DISTINCT first.unit_id), count(DISTINCT event.unit_id)
FROM first_exposures AS first LEFT JOIN conversions AS event
  ON event.environment_id = 1 AND event.unit_id = first.unit_id AND event.event_name = 'purchase'
 AND event.occurred_at >= first.first_at AND event.occurred_at < first.first_at + interval '7 days'
 AND event.received_at < %(deadline)s AND NOT event.is_bot
WHERE first.environment_id = 1 AND first.experiment = 'checkout-test' AND first.phase = %(start)s
  AND first.first_at < %(end)s AND (first.crossed_at IS NULL OR first.crossed_at >= %(end)s)
GROUP BY first.variant
"""
_BY_HAND_GROUPED = """
SELECT variant, count(*), count(*) FILTER (WHERE converted) FROM (
    SELECT first.variant, first.unit_id, bool_or(event.unit_id IS NOT NULL) AS converted
    FROM first_exposures AS first LEFT JOIN conversions AS event
      ON event.environment_id = 1 AND event.unit_id = first.unit_id AND event.event_name = 'purchase'
     AND event.occurred_at >= first.first_at AND event.occurred_at < first.first_at + interval '7 days'
     AND event.received_at < %(deadline)s AND NOT event.is_bot
    WHERE first.environment_id = 1 AND first.experiment = 'checkout-test' AND first.phase = %(start)s
      AND first.first_at < %(end)s AND (first.crossed_at IS NULL OR first.crossed_at >= %(end)s)
    GROUP BY first.unit_id, first.variant
) AS units GROUP BY variant
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--exposures", type=int, default=10_000_000)
    parser.add_argument("--units", type=int, default=1_000_000)
    parser.add_argument("--conversions", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with world():
        _fill(options)
        report("analysis", _measure(options))


def _fill(options: argparse.Namespace) -> None:
    from django.db import connection  # noqa: PLC0415 - after setup

    from analytics import partitions  # noqa: PLC0415 - likewise
    from analytics.partitions import Week  # noqa: PLC0415 - likewise
    from analytics.services import open_phase  # noqa: PLC0415 - likewise

    first, last = (Week.of_ms(int(moment.timestamp() * 1000)).number for moment in (START, END + timedelta(days=7)))
    for table in partitions.TABLES:
        for number in range(first, last + 1):
            partitions.create(table, Week(number))
    values = {"start": START, "units": options.units, "conversions": options.conversions}
    step = 1_000_000
    with connection.cursor() as cursor:
        cursor.execute("SET work_mem = '512MB'")
        for begin in range(1, options.exposures + 1, step):
            cursor.execute(_EXPOSURES, {**values, "first": begin, "last": min(begin + step - 1, options.exposures)})
            print(f"{begin + step - 1:,} exposures", flush=True)
        cursor.execute(_CONVERSIONS, values)
        cursor.execute(_HOURS)
        cursor.execute(_UNITS)
    started = time.perf_counter()
    open_phase(environment_id=1, experiment="checkout-test", started_at=START)
    print(f"first exposures filled in {time.perf_counter() - started:.1f} s", flush=True)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def _measure(options: argparse.Namespace) -> list[str]:
    from analytics import selectors  # noqa: PLC0415 - after setup

    week = timedelta(days=7)
    experiment = (1, "checkout-test")
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("units by variant and day, crossovers, bots", lambda: selectors.exposure_summary(*experiment, START, END)),
        (
            "binary metric: users and conversions",
            lambda: selectors.binary_summary(*experiment, "purchase", START, END, week),
        ),
        ("the same by hand, `count(DISTINCT)`", lambda: _by_hand(_BY_HAND)),
        ("the same by hand, grouped by unit first", lambda: _by_hand(_BY_HAND_GROUPED)),
        (
            "value and count metric: n, sums, sums of squares",
            lambda: selectors.value_summary(*experiment, "purchase", START, END, week),
        ),
        (
            "part of a phase, from the raw events: units by variant and day",
            lambda: selectors.exposure_summary(*experiment, START + timedelta(days=7), END),
        ),
        (
            "exposures and exact users of a flag, last days",
            lambda: selectors.flag_exposures(1, "new-checkout", START + timedelta(days=3), None),
        ),
    ]
    lines = [
        "## Analysis on PostgreSQL",
        "",
        f"`python -m benchmarks.analysis --exposures {options.exposures} --units {options.units} "
        f"--conversions {options.conversions}`: one experiment of {DAYS} days; median of {options.rounds} warm runs, "
        f"range in brackets. {machine()}.",
        "",
        "| question | seconds |",
        "|---|---|",
    ]
    for name, call in calls:
        call()
        times = [_timed(call) for _ in range(options.rounds)]
        lines.append(f"| {name} | {statistics.median(times):.3f} ({min(times):.3f} to {max(times):.3f}) |")
        print(lines[-1], flush=True)
    return lines


def _by_hand(sql: str) -> list[tuple[Any, ...]]:
    from django.db import connection  # noqa: PLC0415 - after setup

    with connection.cursor() as cursor:
        cursor.execute("SET work_mem = '256MB'")
        cursor.execute(sql, {"start": START, "end": END, "deadline": END + timedelta(days=7)})
        return list(cursor.fetchall())


def _timed(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
