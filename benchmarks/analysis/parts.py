"""The analysis queries at size: `python -m benchmarks.analysis [PART…] [--exposures N]`.

postgresql: beside the same written by hand. nightly: with roll-ups. flag: `GET flags/{key}/exposures`, for which 50
million are wanted. cold: results at once after a load of a new name. clickhouse: on the embedded engine.
"""

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from benchmarks.analysis import clickhouse, cold, flag
from benchmarks.analysis.load import DAYS, END, START, fill
from benchmarks.processes import FLAG, tenant
from benchmarks.world import events_world, machine, report

# What somebody who knows the schema would type for a binary metric and nothing else.
_BY_HAND = """
SELECT first.variant, count(DISTINCT first.unit_id), count(DISTINCT event.unit_id)
FROM first_exposures AS first LEFT JOIN conversions AS event
  ON event.environment_id = %(environment)s AND event.unit_id = first.unit_id AND event.event_name = 'purchase'
 AND event.occurred_at >= first.first_at AND event.occurred_at < first.first_at + interval '7 days'
 AND event.received_at < %(deadline)s AND NOT event.is_bot
WHERE first.environment_id = %(environment)s AND first.experiment = 'checkout-test' AND first.phase = %(start)s
  AND first.first_at < %(end)s AND (first.crossed_at IS NULL OR first.crossed_at >= %(end)s)
GROUP BY first.variant
"""
_BY_HAND_GROUPED = """
SELECT variant, count(*), count(*) FILTER (WHERE converted) FROM (
    SELECT first.variant, first.unit_id, bool_or(event.unit_id IS NOT NULL) AS converted
    FROM first_exposures AS first LEFT JOIN conversions AS event
      ON event.environment_id = %(environment)s AND event.unit_id = first.unit_id AND event.event_name = 'purchase'
     AND event.occurred_at >= first.first_at AND event.occurred_at < first.first_at + interval '7 days'
     AND event.received_at < %(deadline)s AND NOT event.is_bot
    WHERE first.environment_id = %(environment)s AND first.experiment = 'checkout-test' AND first.phase = %(start)s
      AND first.first_at < %(end)s AND (first.crossed_at IS NULL OR first.crossed_at >= %(end)s)
    GROUP BY first.unit_id, first.variant
) AS units GROUP BY variant
"""
_BY_HAND_VALUES = """
SELECT variant, count(*), sum(total), sum(total * total), sum(events), sum(events * events) FROM (
    SELECT first.variant, count(event.unit_id) AS events,
           coalesce(sum(round(event.value * 1000000)::bigint), 0) AS total
    FROM first_exposures AS first LEFT JOIN conversions AS event
      ON event.environment_id = %(environment)s AND event.unit_id = first.unit_id AND event.event_name = 'purchase'
     AND event.occurred_at >= first.first_at AND event.occurred_at < first.first_at + interval '7 days'
     AND event.received_at < %(deadline)s AND NOT event.is_bot
    WHERE first.environment_id = %(environment)s AND first.experiment = 'checkout-test' AND first.phase = %(start)s
      AND first.first_at < %(end)s AND (first.crossed_at IS NULL OR first.crossed_at >= %(end)s)
    GROUP BY first.unit_id, first.variant
) AS units GROUP BY variant
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help="postgresql, nightly, flag, cold, clickhouse; else all."
    )
    parser.add_argument("--exposures", type=int, default=10_000_000)
    parser.add_argument("--units", type=int, default=1_000_000)
    parser.add_argument("--conversions", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    parts: dict[str, Callable[[argparse.Namespace, dict[str, str]], list[str]]] = {
        "postgresql": lambda options, _variables: _measure(options),
        "nightly": lambda options, _variables: _nightly(options),
        "flag": flag.measure,
        "cold": lambda options, _variables: cold.measure(options),
    }
    wanted = options.parts or [*parts, "clickhouse"]
    if unknown := set(wanted) - {*parts, "clickhouse"}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    if set(wanted) & set(parts):
        with events_world() as variables:
            options.tenant = tenant()
            fill(
                exposures=options.exposures,
                units=options.units,
                conversions=options.conversions,
                environment_id=options.tenant.environment_id,
            )
            for name in wanted:
                if name in parts:
                    lines = [*_head(name, options), *parts[name](options, variables)]
                    report("analysis" if name == "postgresql" else f"analysis-{name}", lines)
    if "clickhouse" in wanted:
        with events_world():
            lines = clickhouse.measure(options.exposures, options.units, options.conversions, options.rounds)
            report("analysis-clickhouse", [*_head("clickhouse", options), *lines])


_TITLES = {
    "postgresql": "Analysis on PostgreSQL",
    "nightly": "Analysis: a night's own days",
    "flag": "Analysis: a flag's exposures over HTTP",
    "cold": "Analysis: a cold start after a load",
    "clickhouse": "Analysis on ClickHouse's embedded engine",
}


def _head(part: str, options: argparse.Namespace) -> list[str]:
    how = "each asked once" if part == "cold" else f"median of {options.rounds} warm runs, range in brackets"
    return [
        f"## {_TITLES[part]}",
        "",
        f"`python -m benchmarks.analysis {part} --exposures {options.exposures} --units {options.units} "
        f"--conversions {options.conversions}`: one experiment of {DAYS} days; {how}. {machine()}.",
        "",
    ]


def _nightly(options: argparse.Namespace) -> list[str]:
    from django.db import connection  # noqa: PLC0415 - after setup

    from analytics import selectors  # noqa: PLC0415 - likewise
    from analytics.services import refresh_rollups  # noqa: PLC0415 - likewise

    week = timedelta(days=7)
    period = selectors.Period(options.tenant.environment_id, "checkout-test", START, END)
    paused = replace(period, pauses=[(START + timedelta(days=3, hours=6), START + timedelta(days=4, hours=18))])
    amount = selectors.Figure(selectors.Kind.AMOUNT, "purchase")
    revenue = selectors.Figure(selectors.Kind.TOTAL, "purchase")
    plain = selectors.Pairing(revenue, None, week, week)
    rate = replace(plain, y=selectors.Figure(selectors.Kind.CONVERTED, "purchase"))
    ratio = selectors.Pairing(amount, amount, week, week)
    cuped = selectors.Pairing(replace(revenue, cap=500), revenue, week, week, before=2 * week)
    single = selectors.Distribution(selectors.Scope.EVENTS, plain)
    each = selectors.Distribution(selectors.Scope.UNITS, selectors.Pairing(revenue, revenue, week, week, 2 * week))
    questions: list[tuple[str, Callable[[], Any], Callable[[], int]]] = [
        (name, partial(read, where, what), partial(refresh_rollups, where, what))
        for name, read, where, what in (
            ("rate", selectors.pair_summary, period, rate),
            ("sum", selectors.pair_summary, period, plain),
            ("sum, paused for a day and a half", selectors.pair_summary, paused, plain),
            ("ratio", selectors.pair_summary, period, ratio),
            ("capped sum with CUPED", selectors.pair_summary, period, cuped),
            ("events' values, for a quantile", selectors.distribution, period, single),
            ("users' totals with CUPED, to winsorise", selectors.distribution, period, each),
            ("ratio by country", selectors.segment_summary, period, selectors.Breakdown(ratio, "country")),
        )
    ]

    def forget(days: int, *tables: str) -> None:
        since = END - timedelta(days=days)
        with connection.cursor() as cursor:
            for table in ("cohort_pairs", "cohort_distributions", "cohort_segments", *tables):
                cursor.execute(f"DELETE FROM {table} WHERE day >= %s", [since.date()])
            if tables:
                cursor.execute("DELETE FROM unit_segments WHERE carried_at >= %s", [since])

    lines = ["| seconds | " + " | ".join(name for name, *_ in questions) + " |", "|---" * (len(questions) + 1) + "|"]
    rows: dict[str, list[str]] = defaultdict(list)
    for _, read, refresh in questions:

        def one_more(refresh: Callable[[], int] = refresh) -> float:
            forget(1, "segment_days")
            started = time.perf_counter()
            assert refresh() == 1
            return time.perf_counter() - started

        whole = read()
        rows["whole, no roll-ups"].append(_median(read, options.rounds))
        started = time.perf_counter()
        assert refresh() == DAYS
        rows["aggregating all days"].append(f"{time.perf_counter() - started:.3f}")
        rows["aggregating one more day"].append(_range([one_more() for _ in range(options.rounds)]))
        assert read() == whole
        rows["read, all days aggregated"].append(_median(read, options.rounds))
        forget(7)
        assert read() == whole
        rows["read, the last 7 days worked out"].append(_median(read, options.rounds))
        forget(DAYS)
    return [*lines, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items())]


def _median(call: Callable[[], Any], rounds: int) -> str:
    call()
    return _range([_timed(call) for _ in range(rounds)])


def _range(times: list[float]) -> str:
    return f"{statistics.median(times):.3f} ({min(times):.3f} to {max(times):.3f})"


def _measure(options: argparse.Namespace) -> list[str]:
    from analytics import selectors  # noqa: PLC0415 - after setup

    week = timedelta(days=7)
    environment_id = options.tenant.environment_id
    period = selectors.Period(environment_id, "checkout-test", START, END)
    revenue = selectors.Pairing(selectors.Figure(selectors.Kind.TOTAL, "purchase"), None, week, week)
    count, rate = (
        replace(revenue, y=selectors.Figure(kind, "purchase"))
        for kind in (selectors.Kind.COUNT, selectors.Kind.CONVERTED)
    )
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("units by variant and day, crossovers, bots", lambda: selectors.exposure_summary(period)),
        (
            "binary metric: users and conversions",
            lambda: selectors.pair_summary(period, rate),
        ),
        ("the same by hand, `count(DISTINCT)`", lambda: _by_hand(_BY_HAND, options)),
        ("the same by hand, grouped by unit first", lambda: _by_hand(_BY_HAND_GROUPED, options)),
        ("count metric: n, sums, sums of squares", lambda: selectors.pair_summary(period, count)),
        ("sum metric: n, sums, sums of squares", lambda: selectors.pair_summary(period, revenue)),
        ("the same by hand, grouped by unit first", lambda: _by_hand(_BY_HAND_VALUES, options)),
        (
            "part of a phase, from the raw events: units by variant and day",
            lambda: selectors.exposure_summary(replace(period, since=START + timedelta(days=7))),
        ),
        (
            "exposures and users of a flag, last days",
            lambda: selectors.flag_exposures(environment_id, FLAG, START + timedelta(days=3), None),
        ),
        (
            "the same of ten past days, from their raw events",
            lambda: selectors.flag_exposures(
                environment_id, FLAG, START + timedelta(days=3), START + timedelta(days=13)
            ),
        ),
        (
            "beside a result: the bots' first variants, from the derived tables",
            lambda: list(selectors.bots_first_seen(period)),
        ),
        (
            "beside a result: when its youngest event was received",
            lambda: selectors.last_received(period, ["purchase"], END + timedelta(days=7)),
        ),
    ]
    lines = [
        "| question | seconds |",
        "|---|---|",
    ]
    for name, call in calls:
        lines.append(f"| {name} | {_median(call, options.rounds)} |")
        print(lines[-1], flush=True)
    return lines


def _by_hand(sql: str, options: argparse.Namespace) -> list[tuple[Any, ...]]:
    from django.db import connection  # noqa: PLC0415 - after setup

    with connection.cursor() as cursor:
        cursor.execute("SET work_mem = '256MB'")
        cursor.execute(
            sql,
            {
                "environment": options.tenant.environment_id,
                "start": START,
                "end": END,
                "deadline": END + timedelta(days=7),
            },
        )
        return list(cursor.fetchall())


def _timed(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
