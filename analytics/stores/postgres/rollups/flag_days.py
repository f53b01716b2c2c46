# ruff: noqa: S608 - fixed text put together from fixed parts; values are always parameters
"""A flag's users in past windows of whole UTC days, exactly, from the days on which its units saw it.

A step is counted for each day of a unit, from the unit's former day. Whoever was seen in a window was first seen on one
of its days, with a former day before the window. So the steps to the window's days from days before it are its users.

What is aggregated is always true, but it may not be all. A day's steps are read while as many exposures are counted in
the day as when it was aggregated. Of a day with more exposures the raw events are read, less the units that the steps
count anyway.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from analytics.stores.base import FlagExposures
from analytics.stores.postgres import write_statements as sql
from analytics.stores.postgres.reads import SET_UP
from analytics.stores.postgres.rollups.flag_aggregation import HOLD_ENVIRONMENT, NO_DAY, RAW_SINCE, midnight

_DAY = timedelta(days=1)
# A late exposure may come to a day between the look at the stale days and the answer; then both are read again.
_TRIES = 3

_OF_FLAG = "environment_id = %(environment_id)s AND flag_key = %(flag_key)s"
# Days beyond the raw events are as they were when those went.
_STALE = f"""
WITH counted AS (
    SELECT (hour AT TIME ZONE 'UTC')::date AS day, variant, sum(exposures) AS exposures,
           sum(exposures + bots) AS events
    FROM flag_exposure_hours
    WHERE {_OF_FLAG} AND hour >= %(first_midnight)s AND hour < %(end_midnight)s GROUP BY 1, 2
), compared AS (
    SELECT day, sum(counted.events) <> coalesce(folds.events, 0) AND (
        folds.events IS NULL OR day >= coalesce((
            SELECT {RAW_SINCE} FROM event_policies AS policy WHERE policy.environment_id = %(environment_id)s
        ), '{NO_DAY}')
    ) AS is_stale
    FROM counted LEFT JOIN (
        SELECT day, events FROM flag_day_folds WHERE {_OF_FLAG} AND day >= %(first_day)s AND day < %(end_day)s
    ) AS folds USING (day) GROUP BY day, folds.events
), stale AS (
    SELECT coalesce(array_agg(day ORDER BY day) FILTER (WHERE is_stale), ARRAY[]::date[]) AS days, count(*) AS counted
    FROM compared
)
"""
_ASK = f"{_STALE} SELECT days, counted FROM stale"
_EXPOSURES = "SELECT variant, exposures, 0 AS users FROM counted WHERE day <> ALL (%(stale)s::date[])"
_USERS = f"""
SELECT variant, 0, sum(units) FROM flag_day_steps
WHERE {_OF_FLAG} AND day >= %(first_day)s AND day < %(end_day)s AND former_day < %(first_day)s GROUP BY variant
"""
# `days` are sorted: the one after those before the window is the unit's first within or after it.
_RAW = f"""
SELECT variant, sum(seen.exposures), count(*) FILTER (
    WHERE coalesce(known.days[width_bucket(%(first_day)s - 1, known.days) + 1] >= %(end_day)s, true)
) FROM (
    SELECT variant, unit_id, count(*) AS exposures FROM exposures
    WHERE {_OF_FLAG} AND NOT is_bot AND ({{days}}) GROUP BY variant, unit_id
) AS seen LEFT JOIN (
    SELECT variant, unit_id, days FROM flag_unit_days WHERE {_OF_FLAG}
) AS known USING (variant, unit_id)
GROUP BY variant
"""
_ANSWER = (
    _STALE
    + """
SELECT stale.days, variant, sum(exposures)::bigint AS exposures, sum(users)::bigint
FROM stale LEFT JOIN ({parts}) AS parts ON true
GROUP BY stale.days, variant ORDER BY variant
"""
)
# Grouped, which is hashed and done in parallel; count(DISTINCT) sorts all exposures in one process.
_COUNTED_ONE_BY_ONE = f"""
SELECT variant, sum(exposures)::bigint, count(*) FROM (
    SELECT variant, unit_id, count(*) AS exposures FROM exposures
    WHERE {_OF_FLAG} AND NOT is_bot AND occurred_at >= %(since)s AND occurred_at < %(until)s
    GROUP BY variant, unit_id
) AS units GROUP BY variant ORDER BY variant
"""
# The last of the days that go stays: it is the former day of the unit's next one.
_SHORTEN = f"""
UPDATE flag_unit_days SET days = days[width_bucket(%(cut)s::date - 1, days):]
WHERE {_OF_FLAG} AND width_bucket(%(cut)s::date - 1, days) > 1
"""
_FLAGS = "SELECT DISTINCT flag_key FROM flag_day_folds WHERE environment_id = %(environment_id)s"


def count_days(environment_id: int, flag_key: str, first_day: date, end_day: date) -> dict[str, FlagExposures] | None:
    """Count the days [first, end) from their steps; None where no day's steps tell, or exposures keep coming."""
    parameters: dict[str, Any] = {
        "environment_id": environment_id,
        "flag_key": flag_key,
        "first_day": first_day,
        "end_day": end_day,
        "first_midnight": midnight(first_day),
        "end_midnight": midnight(end_day),
    }
    for _ in range(_TRIES):
        ((stale, counted),) = rows_of(_ASK, parameters)
        if stale and len(stale) == counted:
            return None
        rows = rows_of(*_answer(parameters, stale))
        if rows[0][0] == stale:
            return {variant: FlagExposures(*figures) for _, variant, *figures in rows if figures[0]}
    return None


def count_one_by_one(environment_id: int, flag_key: str, since: datetime, until: datetime) -> dict[str, FlagExposures]:
    """Count the window's raw events, whatever is aggregated."""
    parameters = {"environment_id": environment_id, "flag_key": flag_key, "since": since, "until": until}
    return {variant: FlagExposures(*figures) for variant, *figures in rows_of(_COUNTED_ONE_BY_ONE, parameters)}


def shorten_days(environment_id: int, cut: datetime) -> None:
    """Let each unit's days before a midnight (UTC) go; what was counted by them stays. One transaction a flag."""
    parameters: dict[str, Any] = {"environment_id": environment_id, "cut": cut.date()}
    with connection.cursor() as cursor:
        cursor.execute(_FLAGS, parameters)
        flag_keys = [flag_key for (flag_key,) in cursor.fetchall()]
    for flag_key in flag_keys:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(HOLD_ENVIRONMENT, parameters)
            cursor.execute(sql.SHARE_DERIVED)
            cursor.execute(_SHORTEN, {**parameters, "flag_key": flag_key})


def whole_days(since: datetime, until: datetime) -> tuple[date, date] | None:
    """Return the first day and the one after the last of a window of whole UTC days; None for any other window."""
    first, end = since.astimezone(UTC), until.astimezone(UTC)
    is_whole = midnight(first.date()) == first and midnight(end.date()) == end and first < end
    return (first.date(), end.date()) if is_whole else None


def _answer(parameters: dict[str, Any], stale: Sequence[date]) -> tuple[str, dict[str, Any]]:
    parts = [_EXPOSURES, _USERS]
    values = {**parameters, "stale": stale}
    for place, day in enumerate(stale):
        values |= {f"start_{place}": midnight(day), f"end_{place}": midnight(day + _DAY)}
    if stale:
        days = (f"occurred_at >= %(start_{place})s AND occurred_at < %(end_{place})s" for place in range(len(stale)))
        parts.append(_RAW.format(days=" OR ".join(days)))
    return _ANSWER.format(parts=" UNION ALL ".join(parts)), values


def rows_of(statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(SET_UP)
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
