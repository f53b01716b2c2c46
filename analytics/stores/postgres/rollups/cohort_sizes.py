"""Units of whole phases by variant and day, from what the ingest counts of them in `cohort_sizes`.

A day's counts are valid while they were stepped as often as the day changed; an ingest of an older release changes days
without counting them. The units of such a day, and of one that a pause cuts, are counted one by one. Nothing else is:
crossovers are found in their own index, and of the last day only those first exposed after the end.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from analytics.stores.base import Pauses

_MILLISECOND = timedelta(milliseconds=1)
_DAY = timedelta(days=1)

# Whoever was first exposed during a pause is not enrolled; without pauses the planner leaves the question out.
ENROLLED = "(%(pauses)s::tstzmultirange IS NULL OR NOT first_at <@ %(pauses)s::tstzmultirange)"
# Some units are left out by their ids, whenever they were exposed.
COUNTS = "unit_id <> ALL (%(left_out)s::text[])"
_PLACE = "environment_id = %(environment_id)s AND experiment = %(experiment)s AND phase = %(phase)s"

# Rows of (day, first variant, is crossover, units), ordered by day. All in one statement, and so of one moment.
EXPOSURES = f"""
WITH sizes AS MATERIALIZED (
    SELECT day, variant, units, changes FROM cohort_sizes WHERE {_PLACE} AND day <= %(last_day)s
),
days AS MATERIALIZED (
    SELECT day, day <> ALL (%(cut_days)s::date[]) AND coalesce(counted.changes, 0) = coalesce(known.changes, 0)
               AS is_valid
    FROM (SELECT day, sum(changes) AS changes FROM sizes GROUP BY day) AS counted
    FULL JOIN (SELECT day, changes FROM cohort_changes WHERE {_PLACE} AND day <= %(last_day)s) AS known USING (day)
),
crossed AS MATERIALIZED (
    SELECT (first_at AT TIME ZONE 'UTC')::date AS day, variant, count(*) AS units, count(*) FILTER (WHERE counts)
               AS crossovers
    FROM (
        SELECT first_at, variant, {COUNTS} AS counts FROM first_exposures
        WHERE {_PLACE} AND crossed_at < %(until)s AND first_at < %(until)s AND {ENROLLED}
        UNION ALL
        SELECT first_at, variant, false FROM first_exposures
        WHERE {_PLACE} AND unit_id = ANY (%(left_out)s::text[]) AND (crossed_at IS NULL OR crossed_at >= %(until)s)
          AND first_at < %(until)s AND {ENROLLED}
    ) AS taken_off GROUP BY 1, 2
),
parts AS (
    SELECT day, variant, false AS is_crossover, units FROM sizes JOIN days USING (day) WHERE is_valid
    UNION ALL
    SELECT day, variant, false, -units FROM days CROSS JOIN LATERAL (
        SELECT variant, count(*) AS units FROM first_exposures
        WHERE {_PLACE} AND first_at >= %(until)s AND first_at < %(next_day)s
        GROUP BY variant
    ) AS after WHERE day = %(last_day)s AND is_valid
    UNION ALL
    SELECT single.day, variant, false, units
    FROM (
        SELECT min(day) AS first_day, max(day) AS last_day, array_agg(day) AS days FROM days WHERE NOT is_valid
        HAVING count(*) > 0
    ) AS open
    CROSS JOIN LATERAL (
        SELECT (first_at AT TIME ZONE 'UTC')::date AS day, variant, count(*) AS units FROM first_exposures
        WHERE {_PLACE} AND first_at < %(until)s AND first_at >= open.first_day::timestamp AT TIME ZONE 'UTC'
          AND first_at < (open.last_day + 1)::timestamp AT TIME ZONE 'UTC'
          AND (first_at AT TIME ZONE 'UTC')::date = ANY (open.days) AND {ENROLLED}
        GROUP BY 1, 2
    ) AS single
    UNION ALL
    SELECT day, variant, false, -units FROM crossed
    UNION ALL
    SELECT day, variant, true, crossovers FROM crossed
)
SELECT day, variant, is_crossover, sum(units)::bigint FROM parts
GROUP BY day, variant, is_crossover HAVING sum(units) <> 0 ORDER BY day, variant
"""  # noqa: S608 - fixed text put together from fixed parts; values are always parameters


def days_of(until: datetime, pauses: Pauses) -> dict[str, Any]:
    """Parameters: the UTC day of the last millisecond before `until`, the midnight after it, and what pauses cut."""
    last = (until - _MILLISECOND).astimezone(UTC)
    return {
        "last_day": last.date(),
        "next_day": datetime(last.year, last.month, last.day, tzinfo=UTC) + _DAY,
        "cut_days": sorted({day for since, until in pauses for day in _days(since, until)}),
    }


def _days(since: datetime, until: datetime) -> Iterator[date]:
    day, last = since.astimezone(UTC).date(), (until - _MILLISECOND).astimezone(UTC).date()
    while day <= last:
        yield day
        day += _DAY
