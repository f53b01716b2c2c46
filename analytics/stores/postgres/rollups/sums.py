# ruff: noqa: S608 - fixed text put together from fixed parts; values are always parameters
"""Summaries of one event from sums kept by cohort, the units first exposed on one UTC day (see `postgres_kept`)."""

from datetime import UTC, datetime, timedelta
from typing import Any

from analytics.stores.base import BinarySummary, Counting, Period, ValueSummary
from analytics.stores.postgres.reads import (
    EVENT_MICROS,
    IN_TIME,
    ITS_EVENTS,
    KEPT,
    PostgresReads,
    parameters_of,
    source_of,
)
from analytics.stores.postgres.rollups.valid_rollups import ALL_YOUNG, COUNTERS, CROSSED, DAY, YOUNG, Kept

_NO_WINDOW_MS = -1
_NO_WINDOW_DAYS = 100_000
_SUMS = Kept("cohort_sums", "sums.event_name = %(event_name)s AND sums.window_ms = %(window_ms)s")

_EACH = f"""
SELECT units.unit_id, units.variant, units.day, units.sign,
       count(*) FILTER (WHERE {IN_TIME}) AS events, count(*) FILTER (WHERE NOT ({IN_TIME})) AS late,
       coalesce(sum({EVENT_MICROS}) FILTER (WHERE {IN_TIME}), 0) AS total,
       max(greatest(event.occurred_at, event.received_at)) AS last_event_at
FROM {{units}} AS units JOIN conversions AS event ON {ITS_EVENTS} AND event.occurred_at >= %({{since}})s
GROUP BY units.unit_id, units.variant, units.day, units.sign
"""
_SUMMARY = f"""
WITH holding AS MATERIALIZED ({_SUMS.holding} AND sums.day = ANY (%(held)s::date[])),
young AS MATERIALIZED ({YOUNG}),
crossed AS MATERIALIZED ({CROSSED}),
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
_KEEP = f"""
WITH young AS MATERIALIZED ({ALL_YOUNG}),
each AS ({_EACH.format(units="young", since="open_from")}),
users AS (SELECT day, variant, count(*) AS users FROM young GROUP BY day, variant),
sums AS (
    SELECT day, variant, count(*) AS converted, sum(total) AS total, sum(total * total) AS squares,
           sum(events)::bigint AS events, sum(events * events)::bigint AS event_squares
    FROM each GROUP BY day, variant
),
ends AS (SELECT day, max(last_event_at) AS last_event_at FROM each GROUP BY day),
counters AS ({COUNTERS}),
kept AS (
INSERT INTO cohort_sums (
    environment_id, experiment, phase, event_name, window_ms, day, variant, changes, arrived, cut, last_event_at, users,
    converted, total_micros, squares_micros, events, event_squares
)
SELECT %(environment_id)s, %(experiment)s, %(phase)s, %(event_name)s, %(window_ms)s, day, variant, changes, arrived,
       cut, last_event_at, users, coalesce(converted, 0), coalesce(total, 0), coalesce(squares, 0), coalesce(events, 0),
       coalesce(event_squares, 0)
FROM users JOIN counters USING (day) LEFT JOIN sums USING (day, variant) LEFT JOIN ends USING (day)
RETURNING day
)
SELECT count(DISTINCT day) FROM kept
"""


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
        return _SUMS.keep(_KEEP, parameters, counting.window)


def _summary(period: Period, counting: Counting) -> list[tuple[Any, ...]] | None:
    """Rows of (variant, users, converted, total, squares, events, event squares, late); None where nothing is kept."""
    parameters = _parameters(period, counting)
    return None if parameters is None else _SUMS.read(_SUMMARY, parameters)


def _parameters(period: Period, counting: Counting) -> dict[str, Any] | None:
    """For the statements above; None for a period that no phase's first exposures answer."""
    parameters = parameters_of(period, counting)
    if source_of(parameters) is not KEPT:
        return None
    window = counting.window
    return parameters | {
        "window_ms": _NO_WINDOW_MS if window is None else window // timedelta(milliseconds=1),
        "lock": counting.event_name,
        "event_names": [counting.event_name],
        "before_days": 0,
        "span_days": _NO_WINDOW_DAYS if window is None else -(-window // DAY),
        **cohort_days(period, parameters["until"]),
    }


def cohort_days(period: Period, until: datetime) -> dict[str, Any]:
    """The cohorts that are complete: whole days, up to the one that `until` is in; and the time in which nobody is."""
    last = min(until, datetime.now(UTC))
    return {
        "first_day": period.since.astimezone(UTC).date(),
        "end_day": last.astimezone(UTC).date(),
        "closed": period.pauses,
    }
