"""The analysis queries on PostgreSQL: one row per unit first, then sums over units."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from analytics.stores.base import (
    BinarySummary,
    Counting,
    ExposureSummary,
    FirstExposure,
    FlagExposures,
    Period,
    ValueSummary,
)

# One row per unit that is no bot. At equal instants the variant decides, so that the answer never depends on the plan.
_UNITS = """
units AS (
    SELECT unit_id, (array_agg(variant ORDER BY occurred_at, variant))[1] AS variant, min(occurred_at) AS first_at,
           min(variant) <> max(variant) AS is_crossover
    FROM exposures
    WHERE environment_id = %(environment_id)s AND experiment = %(experiment)s AND NOT is_bot
      AND occurred_at >= %(since)s AND (%(until)s::timestamptz IS NULL OR occurred_at < %(until)s)
    GROUP BY unit_id
)
"""
_BOTS = """
SELECT count(*) FROM (
    SELECT unit_id FROM exposures
    WHERE environment_id = %(environment_id)s AND experiment = %(experiment)s
      AND occurred_at >= %(since)s AND (%(until)s::timestamptz IS NULL OR occurred_at < %(until)s)
    GROUP BY unit_id HAVING bool_and(is_bot)
) AS bots
"""
# A unit's events after its first exposure, with whether each came in time. Bots' events are no user's.
_EVENTS = """
events AS (
    SELECT units.variant, units.unit_id, conversions.value,
           %(deadline)s::timestamptz IS NULL
           OR (conversions.occurred_at < %(deadline)s AND conversions.received_at < %(deadline)s) AS is_in_time
    FROM units JOIN conversions ON conversions.unit_id = units.unit_id
    WHERE NOT units.is_crossover AND NOT conversions.is_bot
      AND conversions.environment_id = %(environment_id)s AND conversions.event_name = %(event_name)s
      AND conversions.occurred_at >= %(since)s AND conversions.occurred_at >= units.first_at
      AND (%(window)s::interval IS NULL OR conversions.occurred_at < units.first_at + %(window)s)
)
"""


class PostgresReads:
    """The reading half of the store."""

    def first_exposures(self, period: Period) -> Iterator[FirstExposure]:
        with transaction.atomic(), connection.chunked_cursor() as cursor:
            cursor.execute(
                f"WITH {_UNITS} SELECT unit_id, variant, first_at, is_crossover FROM units ORDER BY unit_id",  # noqa: S608 - fixed text
                _parameters(period),
            )
            for row in cursor:
                yield FirstExposure(*row)

    def exposure_summary(self, period: Period) -> ExposureSummary:
        rows = _rows(
            f"""WITH {_UNITS}
            SELECT (first_at AT TIME ZONE 'UTC')::date, variant, is_crossover, count(*)
            FROM units GROUP BY 1, 2, 3 ORDER BY 1, 2""",  # noqa: S608 - fixed text
            _parameters(period),
        )
        ((bots,),) = _rows(_BOTS, _parameters(period))
        return summarise_exposures(rows, bots)

    def binary_summary(self, period: Period, counting: Counting) -> dict[str, BinarySummary]:
        rows = _rows(
            f"""WITH {_UNITS}, {_EVENTS},
            converted AS (
                SELECT variant, count(DISTINCT unit_id) FILTER (WHERE is_in_time) AS conversions,
                       count(*) FILTER (WHERE NOT is_in_time) AS late
                FROM events GROUP BY variant
            )
            SELECT variant, users, coalesce(conversions, 0), coalesce(late, 0)
            FROM (SELECT variant, count(*) AS users FROM units WHERE NOT is_crossover GROUP BY variant) AS exposed
            LEFT JOIN converted USING (variant) ORDER BY variant""",  # noqa: S608 - fixed text
            _parameters(period, counting),
        )
        return {variant: BinarySummary(*figures) for variant, *figures in rows}

    def value_summary(self, period: Period, counting: Counting) -> dict[str, ValueSummary]:
        rows = _rows(
            f"""WITH {_UNITS}, {_EVENTS},
            totals AS (
                SELECT variant, unit_id, coalesce(sum(value) FILTER (WHERE is_in_time), 0) AS total,
                       count(*) FILTER (WHERE is_in_time) AS events, count(*) FILTER (WHERE NOT is_in_time) AS late
                FROM events GROUP BY variant, unit_id
            ),
            sums AS (
                SELECT variant, sum(total) AS total, sum(total * total) AS squares, sum(events) AS events,
                       sum(events * events) AS event_squares, sum(late) AS late
                FROM totals GROUP BY variant
            )
            SELECT variant, users, coalesce(total, 0), coalesce(squares, 0), coalesce(events, 0)::bigint,
                   coalesce(event_squares, 0)::bigint, coalesce(late, 0)::bigint
            FROM (SELECT variant, count(*) AS users FROM units WHERE NOT is_crossover GROUP BY variant) AS exposed
            LEFT JOIN sums USING (variant) ORDER BY variant""",  # noqa: S608 - fixed text
            _parameters(period, counting),
        )
        return {variant: ValueSummary(*figures) for variant, *figures in rows}

    def flag_exposures(
        self, environment_id: int, flag_key: str, since: datetime | None, until: datetime | None
    ) -> dict[str, FlagExposures]:
        rows = _rows(
            """SELECT variant, count(*), count(DISTINCT unit_id) FROM exposures
            WHERE environment_id = %(environment_id)s AND flag_key = %(flag_key)s AND NOT is_bot
              AND (%(since)s::timestamptz IS NULL OR occurred_at >= %(since)s)
              AND (%(until)s::timestamptz IS NULL OR occurred_at < %(until)s)
            GROUP BY variant ORDER BY variant""",
            {"environment_id": environment_id, "flag_key": flag_key, "since": since, "until": until},
        )
        return {variant: FlagExposures(*figures) for variant, *figures in rows}


def summarise_exposures(rows: list[tuple[Any, ...]], bots: int) -> ExposureSummary:
    """From (day, first variant, is crossover, units), ordered by day."""
    users: dict[str, int] = {}
    daily: dict[Any, dict[str, int]] = {}
    crossed: dict[str, int] = {}
    for day, variant, is_crossover, count in rows:
        if is_crossover:
            crossed[variant] = crossed.get(variant, 0) + count
            continue
        users[variant] = users.get(variant, 0) + count
        daily.setdefault(day, {})[variant] = count
    return ExposureSummary(
        users=users,
        daily=sorted(daily.items()),
        crossovers=sum(crossed.values()),
        crossovers_by_first_variant=crossed,
        bots=bots,
    )


def _parameters(period: Period, counting: Counting | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "environment_id": period.environment_id,
        "experiment": period.experiment,
        "since": period.since,
        "until": period.until,
    }
    if counting is not None:
        found["event_name"] = counting.event_name
        found["window"] = counting.window
        found["deadline"] = period.until + counting.grace if period.until else None
    return found


def _rows(sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())
