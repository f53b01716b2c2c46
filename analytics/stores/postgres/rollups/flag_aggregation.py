# ruff: noqa: S608 - fixed text put together from fixed parts; values are always parameters
"""Aggregation of flags' days that are over, from their raw events, into what `flag_days` answers from.

A day is aggregated again where exposures of it came since. Aggregation of days only ever adds.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any

from django.db import connection, transaction

from analytics.stores.postgres import write_statements as sql
from analytics.stores.postgres.reads import SET_UP
from analytics.stores.postgres.unit_states import FIRST_PHASE

_DAY = timedelta(days=1)
_LOCK_SPACE = 1_001_831
# Each pass reads the events of a time, so flags are aggregated together: so many exposures at most, or one flag.
_MOST_AT_ONCE = 500_000

# The former day of a unit's first one.
NO_DAY = "0001-01-01"
RAW_SINCE = "(policy.raw_since AT TIME ZONE 'UTC')::date"
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
# Retention drops nothing of the environment meanwhile.
HOLD_POLICY = "SELECT FROM event_policies WHERE environment_id = %(environment_id)s FOR SHARE"
HOLD_ENVIRONMENT = f"SELECT pg_advisory_xact_lock({_LOCK_SPACE}, hashint8(%(environment_id)s))"
# A unit that is new on the day comes between its former day and its next one, whichever came to be known first.
_AGGREGATE = f"""
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
FROM unnest(%(flag_keys)s::text[], %(events)s::bigint[]) AS aggregated (flag_key, events)
ON CONFLICT (environment_id, flag_key, day) DO UPDATE SET events = excluded.events
"""


def aggregate_days(since: datetime | None, until: datetime | None) -> int:
    """Aggregate each flag's days in [since, until) that are over and have no valid steps; return their number."""
    today = midnight(datetime.now(UTC).date())
    with connection.cursor() as cursor:
        cursor.execute(_DUE, _due(since or FIRST_PHASE, min(until or today, today)))
        due = cursor.fetchall()
    return sum(
        _aggregate(environment_id, day, flag_keys)
        for (environment_id, day), rows in groupby(due, key=lambda row: row[:2])
        for flag_keys in together([(flag_key, events) for *_, flag_key, events in rows])
    )


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def together(due: Sequence[tuple[str, int]]) -> Iterator[list[str]]:
    """Yield flags that one pass aggregates, from their keys and numbers of exposures."""
    flag_keys: list[str] = []
    total = 0
    for flag_key, events in due:
        if flag_keys and total + events > _MOST_AT_ONCE:
            yield flag_keys
            flag_keys, total = [], 0
        flag_keys.append(flag_key)
        total += events
    yield flag_keys


def hold(cursor: Any, parameters: dict[str, Any]) -> None:
    """Keep rewrites and retention out until the transaction ends."""
    cursor.execute(SET_UP)
    # Whoever changes a policy takes its row before it rewrites, so it comes before the share of what is derived.
    for statement in (HOLD_ENVIRONMENT, HOLD_POLICY, sql.SHARE_DERIVED):
        cursor.execute(statement, parameters)


def _aggregate(environment_id: int, day: date, flag_keys: Sequence[str]) -> int:
    parameters = _due(midnight(day), midnight(day + _DAY)) | {
        "environment_id": environment_id,
        "flag_keys": list(flag_keys),
        "day": day,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        hold(cursor, parameters)
        # The counts before the events: what is stored between them makes the day due again, never the other way.
        cursor.execute(_DUE, parameters)
        due = {flag_key: events for *_, flag_key, events in cursor.fetchall()}
        if due:
            parameters |= {"flag_keys": list(due), "events": list(due.values())}
            cursor.execute(_AGGREGATE, parameters)
            cursor.execute(_RECORD, parameters)
        return len(due)


def _due(since: datetime, until: datetime) -> dict[str, Any]:
    return {"since": since, "until": until, "environment_id": None, "flag_keys": []}
