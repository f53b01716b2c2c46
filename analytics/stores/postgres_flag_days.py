# ruff: noqa: S608 - fixed text put together from fixed parts; values are always parameters
"""The UTC days on which a flag's units saw it: users of past days are then counted without their exposures.

Of each unit seen on a day a step from its former day is counted. Whoever was seen in a window was seen on one of its
days first, with a former day before it: the steps to the window's days from days before it are its users.

A day is folded by a task, and again where exposures of it came since. What is folded is always true, it may only not be
all. So a day is read from its steps while as many exposures are counted in it as when it was folded; of a day with more
the raw events are read, less the units that the steps count anyway.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any

from django.db import connection, transaction

from analytics.stores import postgres_sql as sql
from analytics.stores.base import FlagExposures
from analytics.stores.postgres_reads import SET_UP, PostgresReads
from analytics.stores.postgres_rewrites import FIRST_PHASE
from analytics.stores.postgres_units import NO_DAY, RAW_SINCE

_DAY = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)
_LOCK_SPACE = 1_001_831
# Between the question which days hold and the answer a late exposure may come to one; then it is asked again.
_TRIES = 3
# Flags of a day are folded together, since each pass reads the day's events; so many exposures at most, or one flag.
_MOST_AT_ONCE = 500_000

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
# `days` are sorted: the one after those before the window is its first within or after it.
_RAW = f"""
SELECT variant, sum(seen.exposures), count(*) FILTER (
    WHERE coalesce(known.days[width_bucket(%(first_day)s - 1, known.days) + 1] >= %(end_day)s, true)
) FROM (
    SELECT variant, unit_id, count(*) AS exposures FROM exposures
    WHERE {_OF_FLAG} AND NOT is_bot AND ({{stretches}}) GROUP BY variant, unit_id
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

_DUE = f"""
SELECT environment_id, day, flag_key, counted.events::bigint
FROM (
    SELECT environment_id, flag_key, (hour AT TIME ZONE 'UTC')::date AS day, sum(exposures + bots) AS events
    FROM flag_exposure_hours
    WHERE hour >= %(since)s AND hour < %(until)s
      AND (%(environment_id)s::bigint IS NULL OR environment_id = %(environment_id)s AND flag_key = ANY (%(flag_keys)s))
    GROUP BY environment_id, flag_key, day
) AS counted
LEFT JOIN flag_day_folds AS folds USING (environment_id, flag_key, day)
LEFT JOIN event_policies AS policy USING (environment_id)
WHERE counted.events <> coalesce(folds.events, 0) AND day >= coalesce({RAW_SINCE}, '{NO_DAY}')
ORDER BY environment_id, day, flag_key
"""
# Retention lets nothing of it go meanwhile.
_HOLD_POLICY = "SELECT FROM event_policies WHERE environment_id = %(environment_id)s FOR SHARE"
_HOLD_ENVIRONMENT = f"SELECT pg_advisory_xact_lock({_LOCK_SPACE}, hashint8(%(environment_id)s))"
# A unit that is new on the day comes between its former day and its next one, whichever of the days was folded first.
_FOLD = f"""
WITH added AS (
    INSERT INTO flag_unit_days AS known (environment_id, flag_key, variant, unit_id, days)
    SELECT %(environment_id)s, flag_key, variant, unit_id, ARRAY[%(day)s::date] FROM exposures
    WHERE environment_id = %(environment_id)s AND flag_key = ANY (%(flag_keys)s) AND NOT is_bot
      AND occurred_at >= %(since)s AND occurred_at < %(until)s
    GROUP BY flag_key, variant, unit_id ORDER BY flag_key, variant, unit_id
    ON CONFLICT (environment_id, flag_key, variant, unit_id) DO UPDATE
    SET days = known.days[:width_bucket(%(day)s::date, known.days)] || excluded.days
            || known.days[width_bucket(%(day)s::date, known.days) + 1:]
    WHERE known.days[width_bucket(%(day)s::date, known.days)] IS DISTINCT FROM %(day)s::date
    RETURNING flag_key, variant, old.days AS days, width_bucket(%(day)s::date, old.days) AS former
), placed AS (
    SELECT flag_key, variant, coalesce(days[former], '{NO_DAY}') AS former_day, days[former + 1] AS next_day,
           count(*) AS units
    FROM added GROUP BY 1, 2, 3, 4
), steps AS (
    SELECT flag_key, variant, %(day)s::date AS day, former_day, units FROM placed
    UNION ALL
    SELECT flag_key, variant, next_day, former_day, -units FROM placed WHERE next_day IS NOT NULL
    UNION ALL
    SELECT flag_key, variant, next_day, %(day)s::date, units FROM placed WHERE next_day IS NOT NULL
)
INSERT INTO flag_day_steps AS known (environment_id, flag_key, day, former_day, variant, units)
SELECT %(environment_id)s, flag_key, day, former_day, variant, sum(units) FROM steps
GROUP BY flag_key, day, former_day, variant
ON CONFLICT (environment_id, flag_key, day, former_day, variant) DO UPDATE SET units = known.units + excluded.units
"""
_RECORD = """
INSERT INTO flag_day_folds (environment_id, flag_key, day, events)
SELECT %(environment_id)s, flag_key, %(day)s, events
FROM unnest(%(flag_keys)s::text[], %(events)s::bigint[]) AS folded (flag_key, events)
ON CONFLICT (environment_id, flag_key, day) DO UPDATE SET events = excluded.events
"""
# The last of the days that go stays: it is the former day of the unit's next one.
_SHORTEN = f"""
UPDATE flag_unit_days SET days = days[width_bucket(%(cut)s::date - 1, days):]
WHERE {_OF_FLAG} AND width_bucket(%(cut)s::date - 1, days) > 1
"""
_FLAGS = "SELECT DISTINCT flag_key FROM flag_day_folds WHERE environment_id = %(environment_id)s"


class PostgresFlagDays(PostgresReads):
    """The part of the store that counts a flag's users by day."""

    def flag_exposures(
        self, environment_id: int, flag_key: str, since: datetime | None, until: datetime | None
    ) -> dict[str, FlagExposures]:
        """What `PostgresReads` finds in raw events; of whole days also where those were dropped since."""
        if until is not None:
            parameters = _parameters(environment_id, flag_key, since or FIRST_PHASE, until)
            for _ in range(_TRIES if parameters["first_day"] < parameters["end_day"] else 0):
                ((stale, counted),) = _rows(_ASK, parameters)
                if stale and len(stale) == counted:
                    break
                parameters["stale"] = stale
                rows = _rows(*_answer(parameters, _stretches(parameters, since or FIRST_PHASE, until)))
                if rows[0][0] == stale:
                    return {variant: FlagExposures(*figures) for _, variant, *figures in rows if figures[0]}
        return super().flag_exposures(environment_id, flag_key, since, until)

    def fold_flag_days(self, since: datetime | None = None, until: datetime | None = None) -> int:
        """Fold each flag's days in [since, until) that are over and do not hold; return how many those were."""
        with connection.cursor() as cursor:
            today = _midnight(datetime.now(UTC).date())
            cursor.execute(_DUE, _due(since or FIRST_PHASE, min(until or today, today)))
            due = cursor.fetchall()
        return sum(
            _fold(environment_id, day, flag_keys)
            for (environment_id, day), rows in groupby(due, key=lambda row: row[:2])
            for flag_keys in _together([(flag_key, events) for *_, flag_key, events in rows])
        )


def shorten_days(environment_id: int, cut: datetime) -> None:
    """Let each unit's days before a midnight (UTC) go; what was counted by them stays. One transaction a flag."""
    parameters: dict[str, Any] = {"environment_id": environment_id, "cut": cut.date()}
    with connection.cursor() as cursor:
        cursor.execute(_FLAGS, parameters)
        flag_keys = [flag_key for (flag_key,) in cursor.fetchall()]
    for flag_key in flag_keys:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_HOLD_ENVIRONMENT, parameters)
            cursor.execute(sql.SHARE_DERIVED)
            cursor.execute(_SHORTEN, {**parameters, "flag_key": flag_key})


def _fold(environment_id: int, day: date, flag_keys: Sequence[str]) -> int:
    parameters = _due(_midnight(day), _midnight(day + _DAY)) | {
        "environment_id": environment_id,
        "flag_keys": list(flag_keys),
        "day": day,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(SET_UP)
        # Whoever changes a policy takes its row before it rewrites, so it comes before the share of what is derived.
        for statement in (_HOLD_ENVIRONMENT, _HOLD_POLICY, sql.SHARE_DERIVED):
            cursor.execute(statement, parameters)
        # The counts before the events: what is stored between them makes the day due again, never the other way.
        cursor.execute(_DUE, parameters)
        due = {flag_key: events for *_, flag_key, events in cursor.fetchall()}
        if due:
            parameters |= {"flag_keys": list(due), "events": list(due.values())}
            cursor.execute(_FOLD, parameters)
            cursor.execute(_RECORD, parameters)
        return len(due)


def _due(since: datetime, until: datetime) -> dict[str, Any]:
    return {"since": since, "until": until, "environment_id": None, "flag_keys": []}


def _together(due: Sequence[tuple[str, int]]) -> Iterator[list[str]]:
    flag_keys: list[str] = []
    total = 0
    for flag_key, events in due:
        if flag_keys and total + events > _MOST_AT_ONCE:
            yield flag_keys
            flag_keys, total = [], 0
        flag_keys.append(flag_key)
        total += events
    yield flag_keys


def _parameters(environment_id: int, flag_key: str, since: datetime, until: datetime) -> dict[str, Any]:
    first_day, end_day = (since.astimezone(UTC) + _DAY - _INSTANT).date(), until.astimezone(UTC).date()
    return {
        "environment_id": environment_id,
        "flag_key": flag_key,
        "first_day": first_day,
        "end_day": end_day,
        "first_midnight": _midnight(first_day),
        "end_midnight": _midnight(end_day),
    }


def _stretches(parameters: dict[str, Any], since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """What has to be read from raw events: before the first midnight, the stale days, after the last midnight."""
    found: list[tuple[datetime, datetime]] = []
    stale = [(_midnight(day), _midnight(day + _DAY)) for day in parameters["stale"]]
    for start, end in ((since, parameters["first_midnight"]), *stale, (parameters["end_midnight"], until)):
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], end)
        elif start < end:
            found.append((start, end))
    return found


def _answer(parameters: dict[str, Any], stretches: Sequence[tuple[datetime, datetime]]) -> tuple[str, dict[str, Any]]:
    parts = [_EXPOSURES, _USERS]
    values = dict(parameters)
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


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _rows(statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(SET_UP)
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
