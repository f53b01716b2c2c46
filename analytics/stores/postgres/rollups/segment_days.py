# ruff: noqa: S608 - fixed text put together from fixed parts; values are always parameters
"""What units' first exposures that carried an attribute carried, aggregated from the raw events by UTC day.

A day's aggregation is valid while as many exposures are counted in the day as then. The count is of all flags that the
experiment's exposures were of, since that is what the ingest counts. It names such a flag when it first stores one.
"""

from collections.abc import Collection
from datetime import date
from typing import Any

from analytics.stores.postgres import write_statements as sql
from analytics.stores.postgres.rollups.segment_units import IS_PLAIN
from analytics.stores.postgres.rollups.valid_rollups import bounds_of, midnight_of, reading

_LOCK_SPACE = 1_001_832
_PLACE = "environment_id = %(environment_id)s AND experiment = %(experiment)s"
OF_ATTRIBUTE = f"{_PLACE} AND phase = %(phase)s AND attribute = %(attribute)s"

_CARRIED = f"""
SELECT unit_id, occurred_at, evaluation_id, jsonb_extract_path(attributes, %(attribute)s) AS value FROM exposures
WHERE {_PLACE} AND occurred_at >= %(since)s AND occurred_at < %(until)s AND NOT is_bot AND attributes IS NOT NULL
"""
# Hashed by unit, where all exposures would have to be sorted; only of units that carried several values the first one
# is looked up, in the index by experiment and time. `{within}` limits when they did.
SEGMENTS = f"""
SELECT unit_id, carried_at, CASE WHEN low = high THEN low ELSE (
    SELECT value::text FROM ({_CARRIED} AND occurred_at = several.carried_at AND unit_id = several.unit_id) AS first
    WHERE {IS_PLAIN} ORDER BY evaluation_id LIMIT 1
) END AS value
FROM (
    SELECT unit_id, min(occurred_at) AS carried_at, min(value::text) AS low, max(value::text) AS high
    FROM ({_CARRIED} AND ({{within}})) AS carried WHERE {IS_PLAIN} GROUP BY unit_id
) AS several
"""

_COUNTED = f"""
SELECT (hour AT TIME ZONE 'UTC')::date AS day, sum(exposures + bots) AS events
FROM flag_exposure_hours JOIN experiment_flags USING (environment_id, flag_key)
WHERE {_PLACE} AND hour >= %(first_midnight)s AND hour < %(end_midnight)s GROUP BY 1
"""
STALE = f"""
SELECT coalesce(array_agg(day ORDER BY day), ARRAY[]::date[]) AS days
FROM (
    SELECT moment::date AS day
    FROM generate_series(%(first_day)s::timestamp, %(end_day)s::timestamp - interval '1 day', '1 day') AS moment
) AS wanted
LEFT JOIN (SELECT day, events FROM segment_days WHERE {OF_ATTRIBUTE}) AS aggregated USING (day)
LEFT JOIN ({_COUNTED}) AS counted USING (day)
WHERE aggregated.events IS DISTINCT FROM coalesce(counted.events, 0)
"""

_LOCK = f"SELECT pg_advisory_xact_lock({_LOCK_SPACE}, hashtext(%(experiment)s || '/' || %(attribute)s))"
_NAME_FLAGS = f"""
INSERT INTO experiment_flags (environment_id, experiment, flag_key)
SELECT DISTINCT environment_id, experiment, flag_key FROM exposures
WHERE {_PLACE} AND occurred_at >= %(since)s AND occurred_at < %(until)s
ORDER BY environment_id, experiment, flag_key ON CONFLICT DO NOTHING
"""
# The counts first: what is stored between them and the units then shows as a difference, never the other way.
_COUNT = f"""
INSERT INTO segment_days AS known (environment_id, experiment, phase, attribute, day, events, folds)
SELECT %(environment_id)s, %(experiment)s, %(phase)s, %(attribute)s, %(first_day)s, coalesce(sum(events), 0), 1
FROM ({_COUNTED}) AS counted
ON CONFLICT (environment_id, experiment, phase, attribute, day) DO UPDATE
SET events = excluded.events, folds = known.folds + 1
"""
# Of one instant the day's exposures tell better now than they did.
_AGGREGATE = f"""
INSERT INTO unit_segments AS known (
    environment_id, experiment, phase, attribute, unit_id, value, carried_at, is_late
)
SELECT %(environment_id)s, %(experiment)s, %(phase)s, %(attribute)s, unit_id, value, carried_at,
       coalesce(units.first_at < %(first_midnight)s, true)
FROM ({SEGMENTS.format(within="true")}) AS carried LEFT JOIN (
    SELECT unit_id, first_at FROM first_exposures WHERE {_PLACE} AND phase = %(phase)s
) AS units USING (unit_id)
ORDER BY unit_id
ON CONFLICT (environment_id, experiment, phase, attribute, unit_id) DO UPDATE
SET value = excluded.value, carried_at = excluded.carried_at, is_late = excluded.is_late
WHERE excluded.carried_at < known.carried_at
   OR excluded.carried_at = known.carried_at AND excluded.value <> known.value
"""
# Units that turned out to have been there on that day before, too.
_MARK_LATE = f"""
UPDATE unit_segments AS known SET is_late = true FROM (
    SELECT unit_id FROM first_exposures
    WHERE {_PLACE} AND phase = %(phase)s AND first_at >= %(since)s AND first_at < %(until)s
) AS units
WHERE {OF_ATTRIBUTE} AND known.unit_id = units.unit_id AND known.carried_at >= %(end_midnight)s AND NOT is_late
"""


def stale_days(cursor: Any, parameters: dict[str, Any]) -> list[date]:
    """Return the days of the parameters' cohorts that are not aggregated, or have gained exposures since."""
    cursor.execute(STALE, parameters | midnights(parameters))
    return list(cursor.fetchone()[0])


def midnights(parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        "first_midnight": midnight_of(parameters["first_day"]),
        "end_midnight": midnight_of(parameters["end_day"]),
    }


def aggregate_days(parameters: dict[str, Any], days: Collection[date]) -> None:
    """Aggregate the days, each in a transaction of its own: whoever rewrites waits for one at most."""
    for day in days:
        first, end = bounds_of(day)
        of_day = parameters | {"first_day": day, "first_midnight": first, "end_midnight": end}
        of_day |= {"since": max(first, parameters["since"]), "until": end}
        with reading() as cursor:
            cursor.execute(_NAME_FLAGS, of_day)
        with reading() as cursor:
            cursor.execute(sql.SHARE_DERIVED)
            cursor.execute(_LOCK, of_day)
            for statement in (_COUNT, _AGGREGATE, _MARK_LATE):
                cursor.execute(statement, of_day)
