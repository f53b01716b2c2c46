# ruff: noqa: S608 - fixed text put together from fixed parts; values are always parameters
"""The source of an analysis's units on PostgreSQL, and the questions about units and exposures themselves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction

from analytics.stores.base import (
    ExposureSummary,
    FirstExposure,
    Period,
    Unit,
    summarise_exposures,
)
from analytics.stores.postgres.rollups import cohort_sizes
from analytics.stores.postgres.rollups.cohort_sizes import COUNTS, ENROLLED, days_of
from analytics.stores.postgres.unit_states import FIRST_PHASE

_BEGINNING = FIRST_PHASE
# Answered by the index of those exposures alone; see 0026_find_prefetched.
_PREFETCHED = """
SELECT count(*) FROM exposures
WHERE environment_id = %(environment_id)s AND experiment = %(experiment)s
  AND occurred_at >= %(since)s AND occurred_at < %(until)s AND is_prefetched AND NOT is_bot
"""
NO_END = datetime(9000, 1, 1, tzinfo=UTC)

# One row per unit from the raw events, in one pass. A bot has no first exposure. Only for units that saw several
# variants, the first is looked up in the index by experiment and time. At equal instants the variant that sorts first
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
FROM seen WHERE first_at IS NOT NULL AND {ENROLLED} AND {COUNTS}
"""
_RAW_BOTS = "SELECT count(*) FROM seen WHERE first_at IS NULL"
# The same units from the tables that the ingest maintains. A unit that crossed over after the end counts as not
# crossed.
_DERIVED_UNITS = f"""
SELECT unit_id, variant, first_at, crossed_at IS NOT NULL AND crossed_at < %(until)s AS is_crossover
FROM first_exposures
WHERE environment_id = %(environment_id)s AND experiment = %(experiment)s AND phase = %(phase)s
  AND first_at < %(until)s AND {ENROLLED} AND {COUNTS}
"""
# In this order, the index by time finds few rows. The other way round, every unit would be read, because most blocks of
# that index hold a bot.
_DERIVED_BOTS = """
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
IN_TIME = "event.occurred_at < %(deadline)s AND event.received_at < %(deadline)s"
# One hash of a million units beats many on disk; compiling costs more than these queries gain. What came since a table
# was analysed is planned as if it were not there: a load of a new name would be joined row by row. So nothing is, while
# much of any of these tables is new.
SET_UP = """
SELECT set_config('work_mem', '256MB', true), set_config('jit', 'off', true),
       set_config('enable_nestloop', CASE WHEN bool_or(
           reltuples <= 0 AND oid = 'first_exposures'::regclass
           OR pg_stat_get_mod_since_analyze(oid) > 5000 + greatest(reltuples, 0) / 20
       ) THEN 'off' ELSE 'on' END, true)
FROM pg_class WHERE oid = 'first_exposures'::regclass OR oid IN (
    SELECT inhrelid FROM pg_inherits WHERE inhparent IN ('exposures'::regclass, 'conversions'::regclass)
)
"""


@dataclass(frozen=True, slots=True)
class Source:
    """Where units come from: `common` before the SELECT, `units` in a FROM, and the query that counts bots.

    A table can be read in parallel, again in each part of a statement; units found in raw events are materialised once.
    """

    common: str
    units: str
    bots: str


DERIVED = Source("", f"({_DERIVED_UNITS}) AS units", _DERIVED_BOTS)
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
        if source is DERIVED and parameters["is_counted"]:
            ((bots,),) = selected(source.bots, parameters)
            parameters |= days_of(parameters["until"], period.pauses)
            return summarise_exposures(selected(cohort_sizes.EXPOSURES, parameters), bots)
        rows = selected(
            f"""{source.common}
            SELECT (first_at AT TIME ZONE 'UTC')::date, variant, is_crossover, count(*)
            FROM {source.units} GROUP BY 1, 2, 3
            UNION ALL SELECT NULL, NULL, NULL, ({source.bots})
            ORDER BY 1 NULLS LAST, 2""",
            parameters,
        )
        *seen, (*_, bots) = rows
        return summarise_exposures(seen, bots)

    def prefetched_exposures(self, period: Period) -> int:
        ((count,),) = selected(
            _PREFETCHED,
            {
                "environment_id": period.environment_id,
                "experiment": period.experiment,
                "since": period.since,
                "until": period.until or NO_END,
            },
        )
        return int(count)

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
        rows = selected(
            """SELECT environment_id, unit_id, max(exposures) FROM (
                SELECT environment_id, unit_id, count(*) AS exposures FROM exposures
                WHERE received_at >= %(since)s AND NOT is_bot
                GROUP BY environment_id, unit_id, date_trunc('hour', occurred_at, 'UTC')
                HAVING count(*) > %(limit)s
            ) AS fast GROUP BY environment_id, unit_id ORDER BY environment_id, unit_id""",
            {"since": since, "limit": exposures_per_hour},
        )
        return [(Unit(environment_id, unit_id), most) for environment_id, unit_id, most in rows]


def source_of(parameters: dict[str, Any]) -> Source:
    """Choose where units come from, and add the parameters that takes.

    What the ingest keeps up is about whole phases. It serves a period that ends in the phase it begins in, before which
    nobody was exposed in that phase; any other period is answered from the raw events, to the same definition.
    """
    ((phase, next_phase, parameters["is_counted"]),) = selected(_PHASES, parameters)
    parameters["phase"] = phase or FIRST_PHASE
    is_one_phase = next_phase is None or parameters["until"] <= next_phase
    if is_one_phase and (phase == parameters["since"] or not selected(_IS_ANY_EARLIER, parameters)[0][0]):
        return DERIVED
    return _RAW


def parameters_of(period: Period) -> dict[str, Any]:
    return {
        "environment_id": period.environment_id,
        "experiment": period.experiment,
        "since": period.since,
        "until": period.until or NO_END,
        "pauses": f"{{{','.join(f'[{since},{until})' for since, until in period.pauses)}}}" if period.pauses else None,
        "next_phase": period.next_phase,
        "left_out": list(period.left_out),
    }


def selected(sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(SET_UP)
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())
