# ruff: noqa: S608 - fixed text put together from fixed parts; values are always parameters
"""Summaries from sums kept by cohort: the units first exposed on one UTC day.

Sums add over users, so they add over the days of first exposures (never over the days of events). A cohort's sums hold
as long as its first exposures, and the conversions of the days in which it could convert, are as many as they were; the
ingest counts both in the transaction that stores them. Kept sums have crossovers in, since a unit may cross over long
after its first day: what those few contribute is worked out each time and taken off.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from analytics.stores.base import BinarySummary, Counting, Period, ValueSummary
from analytics.stores.postgres_reads import (
    EVENT_MICROS,
    IN_TIME,
    ITS_EVENTS,
    KEPT,
    NO_END,
    SET_UP,
    PostgresReads,
    parameters_of,
    source_of,
)

_DAY = timedelta(days=1)
_NO_WINDOW_MS = -1
_NO_WINDOW_DAYS = 100_000
# Between the question which cohorts hold and the summary the ingest may change one; then it is asked again.
_TRIES = 3
_LOCK_SPACE = 1_001_830

_KEY = """
sums.environment_id = %(environment_id)s AND sums.experiment = %(experiment)s AND sums.phase = %(phase)s
AND sums.event_name = %(event_name)s AND sums.window_ms = %(window_ms)s
"""
_CHANGES = """coalesce((
    SELECT changes FROM cohort_changes AS known
    WHERE known.environment_id = %(environment_id)s AND known.experiment = %(experiment)s
      AND known.phase = %(phase)s AND known.day = {day}
), 0)"""
_ARRIVED = """coalesce((
    SELECT sum(events)::bigint FROM conversion_days AS known
    WHERE known.environment_id = %(environment_id)s AND known.event_name = %(event_name)s
      AND known.day BETWEEN {day} AND {day} + %(span_days)s::int
), 0)"""
_HOLDING = f"""
SELECT sums.* FROM cohort_sums AS sums
WHERE {_KEY} AND sums.day >= %(first_day)s AND sums.day < %(end_day)s
  AND sums.changes = {_CHANGES.format(day="sums.day")} AND sums.arrived = {_ARRIVED.format(day="sums.day")}
  AND coalesce(sums.last_event_at, '-infinity') < %(deadline)s
"""
_HELD_DAYS = f"SELECT DISTINCT day FROM ({_HOLDING}) AS holding"

# Units of the cohorts to work out, and those that crossed over out of the ones that hold (`sign` -1).
_UNITS = """
SELECT unit_id, variant, first_at, (first_at AT TIME ZONE 'UTC')::date AS day, 1 AS sign
FROM first_exposures
WHERE environment_id = %(environment_id)s AND experiment = %(experiment)s AND phase = %(phase)s
  AND first_at < %(until)s AND first_at >= %(open_from)s
  AND NOT ((first_at AT TIME ZONE 'UTC')::date = ANY (%(held)s::date[]))
  AND {is_counted}
"""
_CROSSED = """
SELECT unit_id, variant, first_at, (first_at AT TIME ZONE 'UTC')::date AS day, -1 AS sign
FROM first_exposures
WHERE environment_id = %(environment_id)s AND experiment = %(experiment)s AND phase = %(phase)s
  AND crossed_at IS NOT NULL AND crossed_at < %(until)s
  AND (first_at AT TIME ZONE 'UTC')::date = ANY (%(held)s::date[])
"""
_EACH = f"""
SELECT units.unit_id, units.variant, units.day, units.sign,
       count(*) FILTER (WHERE {IN_TIME}) AS events, count(*) FILTER (WHERE NOT ({IN_TIME})) AS late,
       coalesce(sum({EVENT_MICROS}) FILTER (WHERE {IN_TIME}), 0) AS total,
       max(greatest(event.occurred_at, event.received_at)) AS last_event_at
FROM {{units}} AS units JOIN conversions AS event ON {ITS_EVENTS} AND event.occurred_at >= %({{since}})s
GROUP BY units.unit_id, units.variant, units.day, units.sign
"""
_SUMMARY = f"""
WITH holding AS MATERIALIZED ({_HOLDING} AND sums.day = ANY (%(held)s::date[])),
young AS MATERIALIZED ({_UNITS.format(is_counted="(crossed_at IS NULL OR crossed_at >= %(until)s)")}),
crossed AS MATERIALIZED ({_CROSSED}),
each AS (
    {_EACH.format(units="young", since="open_from")} UNION ALL {_EACH.format(units="crossed", since="since")}
),
parts AS (
    SELECT variant, users, converted, total_micros AS total, squares_micros AS squares, events, event_squares, 0 AS late
    FROM holding
    UNION ALL
    SELECT variant, sum(sign), 0, 0, 0, 0, 0, 0
    FROM (SELECT * FROM young UNION ALL SELECT * FROM crossed) AS units GROUP BY variant
    UNION ALL
    SELECT variant, 0, sum(sign) FILTER (WHERE events > 0), sum(sign * total), sum(sign * total * total),
           sum(sign * events), sum(sign * events * events), sum(late) FILTER (WHERE sign > 0)
    FROM each GROUP BY variant
)
SELECT variant, sum(users)::bigint, coalesce(sum(converted), 0)::bigint, coalesce(sum(total), 0),
       coalesce(sum(squares), 0), coalesce(sum(events), 0)::bigint, coalesce(sum(event_squares), 0)::bigint,
       coalesce(sum(late), 0)::bigint, (SELECT count(DISTINCT day) FROM holding)
FROM parts GROUP BY variant HAVING sum(users) > 0 ORDER BY variant
"""
# The counters first: what changes between them and the sums then shows as a difference, never the other way.
_COUNTERS = f"""
SELECT wanted.day, {_CHANGES.format(day="wanted.day")}, {_ARRIVED.format(day="wanted.day")}
FROM unnest(%(days)s::date[]) AS wanted (day)
"""
_KEEP = f"""
WITH young AS MATERIALIZED ({_UNITS.format(is_counted="true")}),
each AS ({_EACH.format(units="young", since="open_from")}),
users AS (SELECT day, variant, count(*) AS users FROM young GROUP BY day, variant),
sums AS (
    SELECT day, variant, count(*) AS converted, sum(total) AS total, sum(total * total) AS squares,
           sum(events)::bigint AS events, sum(events * events)::bigint AS event_squares
    FROM each GROUP BY day, variant
),
ends AS (SELECT day, max(last_event_at) AS last_event_at FROM each GROUP BY day),
counters AS (
    SELECT * FROM unnest(%(days)s::date[], %(changes)s::bigint[], %(arrivals)s::bigint[])
        AS counters (day, changes, arrived)
),
kept AS (
INSERT INTO cohort_sums (
    environment_id, experiment, phase, event_name, window_ms, day, variant, changes, arrived, last_event_at, users,
    converted, total_micros, squares_micros, events, event_squares
)
SELECT %(environment_id)s, %(experiment)s, %(phase)s, %(event_name)s, %(window_ms)s, day, variant, changes, arrived,
       last_event_at, users, coalesce(converted, 0), coalesce(total, 0), coalesce(squares, 0), coalesce(events, 0),
       coalesce(event_squares, 0)
FROM users JOIN counters USING (day) LEFT JOIN sums USING (day, variant) LEFT JOIN ends USING (day)
RETURNING day
)
SELECT count(DISTINCT day) FROM kept
"""
_FORGET = f"DELETE FROM cohort_sums AS sums WHERE {_KEY} AND sums.day = ANY (%(days)s::date[])"
_LOCK = f"SELECT pg_advisory_xact_lock({_LOCK_SPACE}, hashtext(%(experiment)s || '/' || %(event_name)s))"


class PostgresCohorts(PostgresReads):
    """Reads what is kept where it holds, and works the rest out."""

    def binary_summary(self, period: Period, counting: Counting) -> dict[str, BinarySummary]:
        rows = _summary(period, counting)
        if rows is None:
            return super().binary_summary(period, counting)
        return {variant: BinarySummary(users, converted, late) for variant, users, converted, *_, late in rows}

    def value_summary(self, period: Period, counting: Counting) -> dict[str, ValueSummary]:
        rows = _summary(period, counting)
        if rows is None:
            return super().value_summary(period, counting)
        return {variant: ValueSummary.from_micros(users, *figures) for variant, users, _, *figures in rows}

    def keep_sums(self, period: Period, counting: Counting) -> int:
        parameters = _parameters(period, counting)
        if parameters is None or counting.window is None:
            return 0
        # A cohort whose units may still convert would not hold until tomorrow.
        parameters["end_day"] = min(parameters["end_day"], (datetime.now(UTC) - counting.window).date())
        # Everything stored counts: whether it came in time is asked of `last_event_at` when the sums are read.
        parameters |= {"deadline": NO_END, "until": _midnight(parameters["end_day"])}
        with _reading() as cursor:
            cursor.execute(_LOCK, parameters)
            held = _held(cursor, parameters)
            parameters["days"] = [day for day in _days(parameters) if day not in held]
            if not parameters["days"]:
                return 0
            cursor.execute(_COUNTERS, parameters)
            for name, column in zip(("days", "changes", "arrivals"), zip(*cursor.fetchall(), strict=True), strict=True):
                parameters[name] = list(column)
            parameters |= {"held": sorted(held), "open_from": _midnight(min(parameters["days"]))}
            cursor.execute(_FORGET, parameters)
            cursor.execute(_KEEP, parameters)
            return int(cursor.fetchone()[0])


def _summary(period: Period, counting: Counting) -> list[tuple[Any, ...]] | None:
    """Rows of (variant, users, converted, total, squares, events, event squares, late); None where nothing is kept."""
    parameters = _parameters(period, counting)
    if parameters is None:
        return None
    for _ in range(_TRIES):
        with _reading() as cursor:
            held = _held(cursor, parameters)
            if not held:
                return None
            open_day = next((day for day in _days(parameters) if day not in held), parameters["end_day"])
            parameters |= {"held": sorted(held), "open_from": _midnight(open_day)}
            cursor.execute(_SUMMARY, parameters)
            rows = cursor.fetchall()
        if rows and rows[0][-1] == len(held):
            return [tuple(row[:-1]) for row in rows]
    return None


def _parameters(period: Period, counting: Counting) -> dict[str, Any] | None:
    """For the statements above; None for a period that no phase's first exposures answer."""
    parameters = parameters_of(period, counting)
    if source_of(parameters) is not KEPT:
        return None
    window = counting.window
    last = min(parameters["until"], datetime.now(UTC))
    return parameters | {
        "window_ms": _NO_WINDOW_MS if window is None else window // timedelta(milliseconds=1),
        "span_days": _NO_WINDOW_DAYS if window is None else -(-window // _DAY),
        "first_day": period.since.astimezone(UTC).date(),
        # Only cohorts that are complete are kept: this one is not.
        "end_day": last.astimezone(UTC).date(),
    }


def _held(cursor: Any, parameters: dict[str, Any]) -> set[date]:
    cursor.execute(_HELD_DAYS, parameters)
    return {day for (day,) in cursor.fetchall()}


def _days(parameters: dict[str, Any]) -> Iterator[date]:
    day = parameters["first_day"]
    while day < parameters["end_day"]:
        yield day
        day += _DAY


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


@contextmanager
def _reading() -> Iterator[Any]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(SET_UP)
        yield cursor
