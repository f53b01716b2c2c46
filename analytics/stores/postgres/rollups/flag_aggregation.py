# ruff: noqa: S608 - fixed text put together from fixed parts; values are always parameters
"""Folding: what `postgres_flag_days` answers from is worked out from the raw events of flags' days that are over.

A day is folded again where exposures of it came since, from the hours they came to. Folding only ever adds. A day with
very many exposures is folded some hours at a time, so that whoever rewrites need not wait for all of it; it is read as
if it were not folded until its last hour is.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any

from django.db import connection, transaction

from analytics.stores.postgres import write_statements as sql
from analytics.stores.postgres.reads import SET_UP
from analytics.stores.postgres.rewrites import FIRST_PHASE
from analytics.stores.postgres.rollups.flag_steps import HOUR_BIT, NO_DAY, RAW_SINCE, STORE_STEPS, hours_of

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_LOCK_SPACE = 1_001_831
# Flags of a day are folded together, since each pass reads the day's events; so many exposures at most, or one flag.
_MOST_AT_ONCE = 500_000
# So many exposures of one flag's day in one transaction, or one hour.
_MOST_AT_A_TIME = 1_000_000

_DUE = f"""
SELECT environment_id, day, flag_key, array_agg(hour), array_agg(events), array_agg(hour) FILTER (WHERE is_due),
       fold_events, coalesce(hour_events, '{{}}')
FROM (
    SELECT environment_id, day, flag_key, hour, counted.events, coalesce(folds.events, 0) AS fold_events, hour_events,
           counted.events <> coalesce(hour_events[hour + 1], 0)
           OR folds.events IS NOT NULL AND hour_events[hour + 1] IS NULL AS is_due
    FROM (
        SELECT environment_id, flag_key, (hour AT TIME ZONE 'UTC')::date AS day,
               date_part('hour', hour AT TIME ZONE 'UTC')::integer AS hour, sum(exposures + bots)::bigint AS events
        FROM flag_exposure_hours
        WHERE hour >= %(since)s AND hour < %(until)s AND (
            %(environment_id)s::bigint IS NULL OR environment_id = %(environment_id)s AND flag_key = ANY (%(flag_keys)s)
        )
        GROUP BY environment_id, flag_key, flag_exposure_hours.hour
    ) AS counted
    LEFT JOIN flag_day_folds AS folds USING (environment_id, flag_key, day)
    LEFT JOIN event_policies AS policy USING (environment_id)
    WHERE day >= coalesce({RAW_SINCE}, '{NO_DAY}')
) AS compared
GROUP BY environment_id, day, flag_key, fold_events, hour_events HAVING bool_or(is_due)
ORDER BY environment_id, day, flag_key
"""
# Retention lets nothing of it go meanwhile.
_HOLD_POLICY = "SELECT FROM event_policies WHERE environment_id = %(environment_id)s FOR SHARE"
HOLD_ENVIRONMENT = f"SELECT pg_advisory_xact_lock({_LOCK_SPACE}, hashint8(%(environment_id)s))"
_UPTO_DAY = "width_bucket(%(day)s::date, known.days)"
_BEFORE_DAY = "width_bucket(%(day)s::date - 1, known.days)"
# The day's hours as they are known already, NULL if the day is not.
_KNOWN_HOURS = f"CASE WHEN {_UPTO_DAY} > {_BEFORE_DAY} THEN ({hours_of('known')})[{_UPTO_DAY}] END"
# A day or an hour that is new of a unit comes between its former one and its next one, whichever were folded first.
_FOLD = f"""
WITH added AS (
    INSERT INTO flag_unit_days AS known (environment_id, flag_key, variant, unit_id, days, hours)
    SELECT %(environment_id)s, flag_key, variant, unit_id, ARRAY[%(day)s::date], ARRAY[bit_or({HOUR_BIT})]
    FROM exposures
    WHERE environment_id = %(environment_id)s AND flag_key = ANY (%(flag_keys)s) AND NOT is_bot
      AND occurred_at >= %(since)s AND occurred_at < %(until)s
    GROUP BY flag_key, variant, unit_id ORDER BY flag_key, variant, unit_id
    ON CONFLICT (environment_id, flag_key, variant, unit_id) DO UPDATE
    SET days = known.days[:{_BEFORE_DAY}] || excluded.days || known.days[{_UPTO_DAY} + 1:],
        hours = ({hours_of("known")})[:{_BEFORE_DAY}]
             || coalesce({_KNOWN_HOURS} | excluded.hours[1], excluded.hours[1])
             || ({hours_of("known")})[{_UPTO_DAY} + 1:]
    WHERE coalesce({_KNOWN_HOURS} | excluded.hours[1], excluded.hours[1]) IS DISTINCT FROM {_KNOWN_HOURS}
    RETURNING flag_key, variant, new.days AS days, new.hours AS hours, old.days AS old_days, old.hours AS old_hours,
              width_bucket(%(day)s::date, new.days) AS place
), placed AS (
    SELECT flag_key, variant, hours[place] AS hours,
           CASE WHEN old_days[place] = %(day)s::date THEN coalesce(old_hours[place], 0) END AS old_hours,
           coalesce(days[place - 1], '{NO_DAY}') AS former_day, coalesce(hours[place - 1], 0) AS former_hours,
           days[place + 1] AS next_day, hours[place + 1] AS next_hours, count(*) AS units
    FROM added GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
), ways AS (
    SELECT flag_key, variant, hours, former_day, former_hours, next_day, next_hours, units FROM placed
    UNION ALL
    SELECT flag_key, variant, old_hours, former_day, former_hours, next_day, next_hours, -units FROM placed
), links AS (
    SELECT %(environment_id)s::bigint AS environment_id, flag_key, variant, %(day)s::date AS day, hours, former_day,
           former_hours, true AS is_day, units
    FROM ways WHERE hours IS NOT NULL
    UNION ALL
    SELECT %(environment_id)s, flag_key, variant, next_day, next_hours,
           CASE WHEN hours IS NULL THEN former_day ELSE %(day)s END, coalesce(hours, former_hours), false, units
    FROM ways WHERE next_day IS NOT NULL
)
{STORE_STEPS}
"""
_RECORD = """
INSERT INTO flag_day_folds (environment_id, flag_key, day, events, hour_events)
SELECT %(environment_id)s, flag_key, %(day)s, events, hour_events
FROM jsonb_to_recordset(%(folded)s::jsonb) AS folded (flag_key text, events bigint, hour_events bigint[])
ON CONFLICT (environment_id, flag_key, day) DO UPDATE
SET events = excluded.events, hour_events = excluded.hour_events
"""


@dataclass(frozen=True, slots=True)
class _Due:
    """A flag's day: the exposures counted in each of its hours, which hours are due, and what is recorded of it."""

    environment_id: int
    day: date
    flag_key: str
    counted: list[int]
    hours: list[int]
    events: int
    hour_events: list[int | None]

    def portion(self, start: int) -> range:
        """The hours to fold at a time, none before `start`."""
        due = [hour for hour in self.hours if hour >= start]
        if not due:
            return range(0)
        end = due[0] + 1
        while end <= due[-1] and sum(self.counted[due[0] : end + 1]) <= _MOST_AT_A_TIME:
            end += 1
        return range(due[0], end)

    def folded(self, hours: range) -> dict[str, Any]:
        """What to record once these hours are folded; others that are due keep what they have, NULL if nothing."""
        left = set(self.hours) - set(hours)
        hour_events = [
            (self.hour_events[hour] if self.hour_events else None) if hour in left else count
            for hour, count in enumerate(self.counted)
        ]
        known = [count for count in hour_events if count is not None]
        events = sum(known) if len(known) == len(hour_events) else self.events
        return {"flag_key": self.flag_key, "events": events, "hour_events": hour_events}


def fold_flag_days(since: datetime | None, until: datetime | None) -> int:
    """Fold each flag's days in [since, until) that are over and do not hold; return how many those were."""
    today = midnight(datetime.now(UTC).date())
    with connection.cursor() as cursor:
        due = _due(cursor, since or FIRST_PHASE, min(until or today, today))
    return sum(
        _fold(environment_id, day, [one.flag_key for one in together])
        for (environment_id, day), ones in groupby(due, key=lambda one: (one.environment_id, one.day))
        for together in _together(list(ones))
    )


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _due(
    cursor: Any, since: datetime, until: datetime, environment_id: int | None = None, flag_keys: Sequence[str] = ()
) -> list[_Due]:
    cursor.execute(
        _DUE, {"since": since, "until": until, "environment_id": environment_id, "flag_keys": list(flag_keys)}
    )
    found = []
    for environment, day, flag_key, hours, events, due, *recorded in cursor.fetchall():
        counted = dict(zip(hours, events, strict=True))
        found.append(
            _Due(environment, day, flag_key, [counted.get(hour, 0) for hour in range(24)], sorted(due), *recorded)
        )
    return found


def _together(due: Sequence[_Due]) -> Iterator[list[_Due]]:
    found: list[_Due] = []
    total = 0
    for one in due:
        exposures = sum(one.counted)
        if found and total + exposures > _MOST_AT_ONCE:
            yield found
            found, total = [], 0
        found.append(one)
        total += exposures
    yield found


def _fold(environment_id: int, day: date, flag_keys: Sequence[str]) -> int:
    start, folded = 0, 0
    while start < 24:
        folded, start = _fold_portion(environment_id, day, flag_keys, start)
    return folded


def _fold_portion(environment_id: int, day: date, flag_keys: Sequence[str], start: int) -> tuple[int, int]:
    """Fold what one transaction should hold; return of how many flags that was, and the hour to go on from."""
    parameters: dict[str, Any] = {"environment_id": environment_id, "day": day}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(SET_UP)
        # Whoever changes a policy takes its row before it rewrites, so it comes before the share of what is derived.
        for statement in (HOLD_ENVIRONMENT, _HOLD_POLICY, sql.SHARE_DERIVED):
            cursor.execute(statement, parameters)
        # The counts before the events: what is stored between them makes the day due again, never the other way.
        due = _due(cursor, midnight(day), midnight(day + _DAY), environment_id, flag_keys)
        portions = [portion for one in due if (portion := one.portion(start))]
        if not portions:
            return 0, 24
        hours = range(min(portion.start for portion in portions), max(portion.stop for portion in portions))
        parameters |= {
            "flag_keys": [one.flag_key for one in due],
            "since": midnight(day) + hours.start * _HOUR,
            "until": midnight(day) + hours.stop * _HOUR,
        }
        cursor.execute(_FOLD, parameters)
        cursor.execute(_RECORD, parameters | {"folded": json.dumps([one.folded(hours) for one in due])})
    return len(due), hours.stop if any(one.hours[-1] >= hours.stop for one in due) else 24
