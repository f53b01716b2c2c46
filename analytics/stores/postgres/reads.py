# ruff: noqa: S608 - fixed text put together from fixed parts; values are always parameters
"""The analysis queries on PostgreSQL: one row per unit first, then sums over units."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction

from analytics.stores.base import (
    BinarySummary,
    Counting,
    ExposureSummary,
    FirstExposure,
    FlagExposures,
    Period,
    Unit,
    ValueSummary,
    summarise_exposures,
)
from analytics.stores.postgres.rewrites import FIRST_PHASE
from analytics.stores.postgres.rollups import cohort_sizes
from analytics.stores.postgres.rollups.cohort_sizes import ENROLLED, days_of

_BEGINNING = FIRST_PHASE
NO_END = datetime(9000, 1, 1, tzinfo=UTC)

# One row per unit from the raw events, in one pass; a bot has no first exposure. Only of units that saw more variants
# the first one has to be looked up, in the index by experiment and time; at equal instants the variant that sorts first
# is the first, as in `unit_states`.
_RAW_SEEN = """
SELECT unit_id, min(occurred_at) FILTER (WHERE NOT is_bot) AS first_at, min(variant) FILTER (WHERE NOT is_bot) AS low,
       max(variant) FILTER (WHERE NOT is_bot) AS high
FROM exposures
WHERE environment_id = %(environment_id)s AND experiment = %(experiment)s
  AND occurred_at >= %(since)s AND occurred_at < %(until)s
GROUP BY unit_id
"""
_RAW_UNITS = f"""
SELECT unit_id, first_at, low <> high AS is_crossover, CASE WHEN low = high THEN low ELSE (
    SELECT min(variant) FROM exposures AS first
    WHERE first.environment_id = %(environment_id)s AND first.experiment = %(experiment)s
      AND first.occurred_at = seen.first_at AND first.unit_id = seen.unit_id AND NOT first.is_bot
) END AS variant
FROM seen WHERE first_at IS NOT NULL AND {ENROLLED}
"""
_RAW_BOTS = "SELECT count(*) FROM seen WHERE first_at IS NULL"
# The same from what the ingest keeps up; a unit that crossed over after the end had not yet.
_KEPT_UNITS = f"""
SELECT unit_id, variant, first_at, crossed_at IS NOT NULL AND crossed_at < %(until)s AS is_crossover
FROM first_exposures
WHERE environment_id = %(environment_id)s AND experiment = %(experiment)s AND phase = %(phase)s
  AND first_at < %(until)s AND {ENROLLED}
"""
# Asked the other way round, every unit is looked at: the index by time knows blocks, and most of them hold a bot.
_KEPT_BOTS = """
SELECT count(*) FROM first_exposures
WHERE environment_id = %(environment_id)s AND experiment = %(experiment)s AND phase = %(phase)s
  AND bot_at < %(until)s AND (first_at < %(until)s) IS NOT TRUE
"""
_PHASES = """
SELECT max(started_at) FILTER (WHERE started_at <= %(since)s), min(started_at) FILTER (WHERE started_at > %(since)s),
       coalesce(bool_and(is_counted), true)
FROM exposure_phases WHERE environment_id = %(environment_id)s AND experiment = %(experiment)s
"""
_IS_ANY_EARLIER = """
SELECT EXISTS (
    SELECT FROM first_exposures
    WHERE environment_id = %(environment_id)s AND experiment = %(experiment)s AND phase = %(phase)s
      AND (first_at < %(since)s OR bot_at < %(since)s)
)
"""
# A unit's events after its first exposure; bots' events are no user's.
ITS_EVENTS = """
event.unit_id = units.unit_id AND event.environment_id = %(environment_id)s AND event.event_name = %(event_name)s
AND NOT event.is_bot AND event.occurred_at >= %(since)s AND event.occurred_at >= units.first_at
AND (%(window)s::interval IS NULL OR event.occurred_at < units.first_at + %(window)s)
"""
IN_TIME = "event.occurred_at < %(deadline)s AND event.received_at < %(deadline)s"
# Whole millionths: integers add up exactly in any order and on any server, floats do not.
EVENT_MICROS = "round(event.value * 1000000)::bigint"


# One hash of a million units beats many on disk; compiling costs more than these queries gain. Tables that were never
# analysed are planned as if they were empty: a new installation's first load would be joined row by row with itself.
SET_UP = """
SELECT set_config('work_mem', '256MB', true), set_config('jit', 'off', true),
       set_config('enable_nestloop', CASE WHEN reltuples > 0 THEN 'on' ELSE 'off' END, true)
FROM pg_class WHERE oid = 'first_exposures'::regclass
"""


@dataclass(frozen=True, slots=True)
class Source:
    """Where units come from: `common` before the SELECT, `units` in a FROM, and the query that counts bots.

    A table can be read in parallel, again in each part of a statement; what was worked out from raw events is kept.
    """

    common: str
    units: str
    bots: str


KEPT = Source("", f"({_KEPT_UNITS}) AS units", _KEPT_BOTS)
_RAW = Source(f"WITH seen AS MATERIALIZED ({_RAW_SEEN}), units AS MATERIALIZED ({_RAW_UNITS})", "units", _RAW_BOTS)


class PostgresReads:
    """The reading half of the store."""

    def first_exposures(self, period: Period) -> Iterator[FirstExposure]:
        parameters = parameters_of(period)
        source = source_of(parameters)
        with transaction.atomic(), connection.chunked_cursor() as cursor:
            cursor.execute(
                f"{source.common} SELECT unit_id, variant, first_at, is_crossover FROM {source.units} ORDER BY unit_id",
                parameters,
            )
            for row in cursor:
                yield FirstExposure(*row)

    def exposure_summary(self, period: Period) -> ExposureSummary:
        parameters = parameters_of(period)
        source = source_of(parameters)
        if source is KEPT and parameters["is_counted"]:
            ((bots,),) = _rows(source.bots, parameters)
            parameters |= days_of(parameters["until"], period.pauses)
            return summarise_exposures(_rows(cohort_sizes.EXPOSURES, parameters), bots)
        rows = _rows(
            f"""{source.common}
            SELECT (first_at AT TIME ZONE 'UTC')::date, variant, is_crossover, count(*)
            FROM {source.units} GROUP BY 1, 2, 3
            UNION ALL SELECT NULL, NULL, NULL, ({source.bots})
            ORDER BY 1 NULLS LAST, 2""",
            parameters,
        )
        *seen, (*_, bots) = rows
        return summarise_exposures(seen, bots)

    def binary_summary(self, period: Period, counting: Counting) -> dict[str, BinarySummary]:
        parameters = parameters_of(period, counting)
        source = source_of(parameters)
        rows = _rows(
            f"""{source.common}
            SELECT variant, users, coalesce(conversions, 0), coalesce(late, 0)
            FROM {_users(source)} LEFT JOIN (
                SELECT variant, count(*) AS conversions FROM {source.units}
                WHERE NOT is_crossover AND EXISTS (SELECT FROM conversions AS event WHERE {ITS_EVENTS} AND {IN_TIME})
                GROUP BY variant
            ) AS converted USING (variant) LEFT JOIN {_late(source)} USING (variant) ORDER BY variant""",
            parameters,
        )
        return {variant: BinarySummary(*figures) for variant, *figures in rows}

    def value_summary(self, period: Period, counting: Counting) -> dict[str, ValueSummary]:
        parameters = parameters_of(period, counting)
        source = source_of(parameters)
        rows = _rows(
            f"""{source.common}
            SELECT variant, users, coalesce(total, 0), coalesce(squares, 0), coalesce(events, 0),
                   coalesce(event_squares, 0), coalesce(late, 0)
            FROM {_users(source)} LEFT JOIN (
                SELECT variant, sum(total) AS total, sum(total * total) AS squares, sum(events)::bigint AS events,
                       sum(events * events)::bigint AS event_squares
                FROM (
                    SELECT units.variant, coalesce(sum({EVENT_MICROS}), 0) AS total, count(*) AS events
                    FROM {source.units} JOIN conversions AS event ON {ITS_EVENTS} AND {IN_TIME}
                    WHERE NOT is_crossover GROUP BY units.unit_id, units.variant
                ) AS totals GROUP BY variant
            ) AS sums USING (variant) LEFT JOIN {_late(source)} USING (variant) ORDER BY variant""",
            parameters,
        )
        return {variant: ValueSummary.from_micros(*figures) for variant, *figures in rows}

    def raw_events(self, units: Sequence[Unit]) -> Iterator[dict[str, Any]]:
        wanted: Any = [[unit.environment_id for unit in units], [unit.unit_id for unit in units]]
        for table in ("exposures", "conversions"):
            with transaction.atomic(), connection.chunked_cursor() as cursor:
                cursor.execute(
                    f"""SELECT event.* FROM {table} AS event
                    JOIN unnest(%s::bigint[], %s::text[]) AS wanted (environment_id, unit_id)
                      USING (environment_id, unit_id)
                    ORDER BY event.occurred_at""",
                    wanted,
                )
                for row in cursor:
                    names = [column.name for column in cursor.description]
                    yield {"table": table, **dict(zip(names, row, strict=True))}

    def fast_units(self, since: datetime, exposures_per_hour: int) -> list[tuple[Unit, int]]:
        rows = _rows(
            """SELECT environment_id, unit_id, max(exposures) FROM (
                SELECT environment_id, unit_id, count(*) AS exposures FROM exposures
                WHERE received_at >= %(since)s AND NOT is_bot
                GROUP BY environment_id, unit_id, date_trunc('hour', occurred_at, 'UTC')
                HAVING count(*) > %(limit)s
            ) AS fast GROUP BY environment_id, unit_id ORDER BY environment_id, unit_id""",
            {"since": since, "limit": exposures_per_hour},
        )
        return [(Unit(environment_id, unit_id), most) for environment_id, unit_id, most in rows]

    def flag_exposures(
        self, environment_id: int, flag_key: str, since: datetime | None, until: datetime | None
    ) -> dict[str, FlagExposures]:
        parameters: dict[str, Any] = {
            "environment_id": environment_id,
            "flag_key": flag_key,
            "since": since or _BEGINNING,
            "until": until or NO_END,
        }
        if until is None:
            exposures = _rows(
                """SELECT variant, sum(exposures)::bigint FROM flag_exposure_hours
                WHERE environment_id = %(environment_id)s AND flag_key = %(flag_key)s AND hour >= %(since)s
                GROUP BY variant HAVING sum(exposures) > 0 ORDER BY variant""",
                parameters,
            )
            # A unit last seen in the window was seen in it; one last seen before it was not.
            users = dict(
                _rows(
                    """SELECT variant, sum(units)::bigint FROM flag_unit_hours
                    WHERE environment_id = %(environment_id)s AND flag_key = %(flag_key)s AND last_hour >= %(since)s
                    GROUP BY variant""",
                    parameters,
                )
            )
            return {variant: FlagExposures(count, users.get(variant, 0)) for variant, count in exposures}
        # Who was last seen after the window may have been seen in it: only the raw events tell. Grouped, which is
        # hashed and done in parallel; count(DISTINCT) sorts them all in one process.
        rows = _rows(
            """SELECT variant, sum(exposures)::bigint, count(*) FROM (
                SELECT variant, unit_id, count(*) AS exposures FROM exposures
                WHERE environment_id = %(environment_id)s AND flag_key = %(flag_key)s AND NOT is_bot
                  AND occurred_at >= %(since)s AND occurred_at < %(until)s
                GROUP BY variant, unit_id
            ) AS units GROUP BY variant ORDER BY variant""",
            parameters,
        )
        return {variant: FlagExposures(*figures) for variant, *figures in rows}

    def recent_units(self, environment_id: int, flag_key: str, since: datetime, limit: int) -> list[tuple[str, str]]:
        rows = _rows(
            # A unit has a row for each variant it saw: three times as many rows hold the units that are wanted, and
            # a million need not be sorted by unit first.
            """SELECT unit_id, (array_agg(variant ORDER BY last_hour DESC, variant))[1] FROM (
                SELECT unit_id, variant, last_hour FROM flag_units
                WHERE environment_id = %(environment_id)s AND flag_key = %(flag_key)s AND last_hour >= %(since)s
                ORDER BY last_hour DESC, unit_id, variant LIMIT 3 * %(limit)s
            ) AS latest GROUP BY unit_id ORDER BY max(last_hour) DESC, unit_id LIMIT %(limit)s""",
            {"environment_id": environment_id, "flag_key": flag_key, "since": since, "limit": limit},
        )
        return [(unit_id, variant) for unit_id, variant in rows]

    def last_exposures(self, environment_id: int, flag_keys: Sequence[str]) -> dict[str, datetime]:
        # One look into the index for each flag, however many hours each has.
        rows = _rows(
            """SELECT wanted.flag_key, last.hour FROM unnest(%(flag_keys)s::text[]) AS wanted (flag_key),
            LATERAL (SELECT max(hour) AS hour FROM flag_exposure_hours AS known
                     WHERE known.environment_id = %(environment_id)s AND known.flag_key = wanted.flag_key) AS last
            WHERE last.hour IS NOT NULL""",
            {"environment_id": environment_id, "flag_keys": list(flag_keys)},
        )
        return dict(rows)


def _users(source: Source) -> str:
    return f"(SELECT variant, count(*) AS users FROM {source.units} WHERE NOT is_crossover GROUP BY variant) AS users"


def _late(source: Source) -> str:
    return f"""(
        SELECT units.variant, count(*) AS late
        FROM {source.units} JOIN conversions AS event ON {ITS_EVENTS} AND NOT ({IN_TIME})
        WHERE NOT is_crossover GROUP BY units.variant
    ) AS late"""


def source_of(parameters: dict[str, Any]) -> Source:
    """Choose where units come from, and add the parameters that takes.

    What the ingest keeps up is about whole phases. It serves a period that ends in the phase it begins in, before which
    nobody was exposed in that phase; any other period is answered from the raw events, to the same definition.
    """
    ((phase, next_phase, parameters["is_counted"]),) = _rows(_PHASES, parameters)
    parameters["phase"] = phase or FIRST_PHASE
    is_one_phase = next_phase is None or parameters["until"] <= next_phase
    if is_one_phase and (phase == parameters["since"] or not _rows(_IS_ANY_EARLIER, parameters)[0][0]):
        return KEPT
    return _RAW


def parameters_of(period: Period, counting: Counting | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "environment_id": period.environment_id,
        "experiment": period.experiment,
        "since": period.since,
        "until": period.until or NO_END,
        "pauses": f"{{{','.join(f'[{since},{until})' for since, until in period.pauses)}}}" if period.pauses else None,
    }
    if counting is not None:
        found["event_name"] = counting.event_name
        found["window"] = counting.window
        found["deadline"] = period.until + counting.grace if period.until else NO_END
    return found


def _rows(sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(SET_UP)
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())
