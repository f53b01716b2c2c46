# ruff: noqa: S608 - fixed text put together from fixed parts; values are always parameters
"""A flag's users in past windows, from the days and hours on which its units saw it, without their exposures.

Of each unit a step to each of its hours from the hour before it is counted, by days. Whoever was seen in a window was
seen in one of its hours first, with a former hour before it: the steps to the window's hours from hours before it are
its users. Of whole days the days' own steps tell, of a day that the window cuts the cells of its steps.

What is folded (`postgres_flag_folds`) is always true, it may only not be all. So an hour is read from its steps while
as many exposures are counted in it as when it was folded. Of an hour with more, of a day whose hours are not known and
is cut, and of a cut hour the raw events are read, less the units that the steps count anyway.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from analytics.stores.base import FlagExposures
from analytics.stores.postgres import write_statements as sql
from analytics.stores.postgres.reads import SET_UP, PostgresReads
from analytics.stores.postgres.rewrites import FIRST_PHASE
from analytics.stores.postgres.rollups.flag_aggregation import HOLD_ENVIRONMENT, fold_flag_days, midnight
from analytics.stores.postgres.rollups.flag_steps import NO_DAY, RAW_SINCE, cells_of

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_INSTANT = timedelta(microseconds=1)
# Between the question which hours hold and the answer a late exposure may come to one; then it is asked again.
_TRIES = 3

_OF_FLAG = "environment_id = %(environment_id)s AND flag_key = %(flag_key)s"
# Days beyond the raw events are as they were when those went; their hours are merged.
_STALE = f"""
WITH counted AS (
    SELECT hour, variant, sum(exposures) AS exposures, sum(exposures + bots) AS events
    FROM flag_exposure_hours
    WHERE {_OF_FLAG} AND hour >= %(counted_since)s AND hour < %(counted_until)s GROUP BY hour, variant
), hours AS (
    SELECT hour, (hour AT TIME ZONE 'UTC')::date AS day, sum(events) AS events FROM counted GROUP BY hour
), policy AS (
    SELECT {RAW_SINCE} AS raw_since FROM event_policies AS policy WHERE environment_id = %(environment_id)s
), compared AS (
    SELECT hour, day, has_hours,
           CASE WHEN has_hours
           THEN hours.events <> hour_events[date_part('hour', hour AT TIME ZONE 'UTC')::integer + 1] ELSE
                sum(hours.events) OVER (PARTITION BY day) <> coalesce(folds.events, 0)
                AND (folds.events IS NULL OR is_raw)
           END AS is_stale
    FROM hours LEFT JOIN (
        SELECT day, events, hour_events FROM flag_day_folds
        WHERE {_OF_FLAG} AND day >= %(counted_day)s AND day <= %(last_day)s
    ) AS folds USING (day)
    CROSS JOIN LATERAL (SELECT day >= coalesce((SELECT raw_since FROM policy), '{NO_DAY}') AS is_raw) AS age
    CROSS JOIN LATERAL (
        SELECT is_raw AND coalesce(cardinality(hour_events), 0) > 0 AND array_position(hour_events, NULL) IS NULL
            AS has_hours
    ) AS kept
), stale AS (
    SELECT coalesce(array_agg(DISTINCT day) FILTER (WHERE is_stale AND NOT has_hours), ARRAY[]::date[]) AS days,
           coalesce(array_agg(hour ORDER BY hour) FILTER (WHERE is_stale AND has_hours), ARRAY[]::timestamptz[])
               AS hours,
           coalesce(array_agg(DISTINCT day) FILTER (WHERE NOT has_hours), ARRAY[]::date[]) AS without_hours,
           coalesce(bool_and(is_stale), false) AS is_all
    FROM compared
)
"""
_ASK = f"{_STALE} SELECT days, hours, without_hours, is_all FROM stale"
_EXPOSURES = """
SELECT variant, exposures, 0 AS users FROM counted
WHERE hour >= %(first)s AND hour < %(end)s AND hour <> ALL (%(stale_hours)s::timestamptz[])
  AND (hour AT TIME ZONE 'UTC')::date <> ALL (%(stale_days)s::date[])
"""
_USERS = f"""
SELECT variant, 0, sum(units) FROM flag_day_steps
WHERE {_OF_FLAG} AND day >= %(whole_since)s AND day < %(end_day)s AND former_day < %(first_day)s GROUP BY variant
"""
# Hours are numbered from the first day's midnight on.
_USERS_OF_CUTS = f"""
SELECT variant, 0, sum(step.units)
FROM flag_day_steps AS known CROSS JOIN LATERAL {cells_of("known")} AS step (cell, units)
WHERE {_OF_FLAG} AND day >= %(first_day)s AND day <= %(end_day)s AND former_day <= %(first_day)s
  AND (day = ANY (%(cut_days)s) OR former_day = ANY (%(cut_formers)s))
  AND (day - %(first_day)s) * 24 + cell / 24 >= %(first_hour)s
  AND (day - %(first_day)s) * 24 + cell / 24 < (%(end_day)s::date - %(first_day)s) * 24 + %(end_hour)s
  AND (former_day - %(first_day)s) * 24 + mod(cell, 24::smallint) < %(first_hour)s
GROUP BY variant
"""
# Days are sorted: the one after the first day's place is the first after it. Of a day that the window does not cut the
# hours need not be known.
_RAW = f"""
SELECT variant, sum(seen.exposures), count(*) FILTER (WHERE NOT coalesce(
    (days[place] = %(first_day)s AND (greatest(known.hours[place], 1) & %(first_hours)s) <> 0)
    OR days[place + 1] < %(end_day)s
    OR (days[place + 1] = %(end_day)s AND (greatest(known.hours[place + 1], 1) & %(end_hours)s) <> 0), false
))
FROM (
    SELECT variant, unit_id, count(*) AS exposures FROM exposures
    WHERE {_OF_FLAG} AND NOT is_bot AND ({{stretches}}) GROUP BY variant, unit_id
) AS seen LEFT JOIN (
    SELECT variant, unit_id, days, hours, width_bucket(%(first_day)s, days) AS place
    FROM flag_unit_days WHERE {_OF_FLAG}
) AS known USING (variant, unit_id)
GROUP BY variant
"""
_ANSWER = (
    _STALE
    + """
SELECT stale.days, stale.hours, without_hours, is_all, variant, sum(exposures)::bigint AS exposures, sum(users)::bigint
FROM stale LEFT JOIN ({parts}) AS parts ON true
GROUP BY stale.days, stale.hours, without_hours, is_all, variant ORDER BY variant
"""
)
# The last of the days that go stays: it is the former day of the unit's next one.
_SHORTEN = f"""
UPDATE flag_unit_days
SET days = days[width_bucket(%(cut)s::date - 1, days):], hours = hours[width_bucket(%(cut)s::date - 1, days):]
WHERE {_OF_FLAG} AND width_bucket(%(cut)s::date - 1, days) > 1
"""
# No window cuts these days any more.
_FORGET_HOURS = f"""
UPDATE flag_day_steps SET cells = '{{}}', cell_units = '{{}}'
WHERE {_OF_FLAG} AND day < %(cut)s::date AND cells <> '{{}}'
"""
_FLAGS = "SELECT DISTINCT flag_key FROM flag_day_folds WHERE environment_id = %(environment_id)s"

Stretch = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class _Stale:
    """What does not hold between two midnights: whole days, single hours; and the days whose hours are not known."""

    days: list[date]
    hours: list[datetime]
    without_hours: list[date]
    is_all: bool

    def stretches(self) -> list[Stretch]:
        return [(midnight(day), midnight(day) + _DAY) for day in self.days] + [
            (hour, hour + _HOUR) for hour in self.hours
        ]


class PostgresFlagDays(PostgresReads):
    """The part of the store that counts a flag's users by day."""

    def flag_exposures(
        self, environment_id: int, flag_key: str, since: datetime | None, until: datetime | None
    ) -> dict[str, FlagExposures]:
        """What `PostgresReads` finds in raw events; of whole days also where those were dropped since."""
        if until is not None:
            window = (since or FIRST_PHASE).astimezone(UTC), until.astimezone(UTC)
            first, end = _full_hour(window[0] + _HOUR - _INSTANT), _full_hour(window[1])
            for _ in range(_TRIES if first < end else 0):
                parameters = _between(environment_id, flag_key, first, end)
                stale = _Stale(*_rows(_ASK, parameters)[0])
                core = _without(stale.without_hours, first, end)
                if stale.is_all or core[0] >= core[1]:
                    break
                rows = _rows(*_answer(parameters | _core(*core), stale, window))
                if _Stale(*rows[0][:4]) == stale:
                    return {row[4]: FlagExposures(*row[5:]) for row in rows if row[5]}
        return super().flag_exposures(environment_id, flag_key, since, until)

    def fold_flag_days(self, since: datetime | None = None, until: datetime | None = None) -> int:
        """Fold each flag's days in [since, until) that are over and do not hold; return how many those were."""
        return fold_flag_days(since, until)


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
            cursor.execute(_FORGET_HOURS, {**parameters, "flag_key": flag_key})


def _without(days: Sequence[date], first: datetime, end: datetime) -> Stretch:
    """The hours from `first` to `end` less the days that those cut, where they are among these."""
    return (
        midnight(first.date() + _DAY) if first.hour and first.date() in days else first,
        midnight(end.date()) if end.hour and end.date() in days else end,
    )


def _between(environment_id: int, flag_key: str, first: datetime, end: datetime) -> dict[str, Any]:
    return {
        "environment_id": environment_id,
        "flag_key": flag_key,
        "counted_day": first.date(),
        "last_day": end.date(),
        "counted_since": midnight(first.date()),
        "counted_until": midnight((end + _DAY - _INSTANT).date()),
    }


def _core(first: datetime, end: datetime) -> dict[str, Any]:
    """Parameters for the hours that are read from steps."""
    before_end = (1 << end.hour) - 1
    from_first = (1 << 24) - (1 << first.hour)
    return {
        "first": first,
        "end": end,
        "first_day": first.date(),
        "first_hour": first.hour,
        "first_hours": from_first & before_end if first.date() == end.date() else from_first,
        "end_day": end.date(),
        "end_hour": end.hour,
        "end_hours": before_end,
        "whole_since": first.date() + (_DAY if first.hour else timedelta()),
        "cut_days": sorted({moment.date() for moment in (first, end) if moment.hour}),
        "cut_formers": [first.date()] if first.hour else [],
    }


def _stretches(stale: _Stale, core: Stretch, window: Stretch) -> list[Stretch]:
    """What of the window has to be read from raw events: all that is stale or lies outside of its core."""
    found: list[Stretch] = []
    for since, until in sorted([(window[0], core[0]), *stale.stretches(), (core[1], window[1])]):
        start, end = max(since, window[0]), min(until, window[1])
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        elif start < end:
            found.append((start, end))
    return found


def _answer(parameters: dict[str, Any], stale: _Stale, window: Stretch) -> tuple[str, dict[str, Any]]:
    parts = [_EXPOSURES, _USERS]
    values = {**parameters, "stale_days": stale.days, "stale_hours": stale.hours}
    if parameters["cut_days"]:
        parts.append(_USERS_OF_CUTS)
    stretches = _stretches(stale, (parameters["first"], parameters["end"]), window)
    if stretches:
        parts.append(
            _RAW.format(
                stretches=" OR ".join(
                    f"occurred_at >= %(start_{place})s AND occurred_at < %(end_{place})s"
                    for place in range(len(stretches))
                )
            )
        )
    for place, (start, end) in enumerate(stretches):
        values |= {f"start_{place}": start, f"end_{place}": end}
    return _ANSWER.format(parts=" UNION ALL ".join(parts)), values


def _full_hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _rows(statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(SET_UP)
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
