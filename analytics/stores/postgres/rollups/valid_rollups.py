# ruff: noqa: S608 - fixed text put together from fixed parts; values are always parameters
"""Roll-ups by cohort, the units first exposed on one UTC day: which days are valid, and refreshing the others.

Sums add over users, so they add over the days of first exposures (never over the days of events). A cohort's sums are
valid while its first exposures, and the conversions of the days in which it could convert, are as many as they were.
The ingest counts both in the transaction that stores them. A roll-up includes crossovers, since a unit may cross over
long after its first day. Each reading works out what those few contribute, and takes it off.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from analytics.stores.base import Period
from analytics.stores.postgres.reads import NO_END, SET_UP
from analytics.stores.postgres.rollups.cohort_sizes import COUNTS, ENROLLED

DAY = timedelta(days=1)
Stretch = tuple[datetime, datetime]
# The ingest may change a cohort between the look at the valid days and the summary; then both are read again.
_TRIES = 3
_LOCK_SPACE = 1_001_830

_CHANGES = """coalesce((
    SELECT changes FROM cohort_changes AS known
    WHERE known.environment_id = %(environment_id)s AND known.experiment = %(experiment)s
      AND known.phase = %(phase)s AND known.day = {day}
), 0)"""
_ARRIVED = """coalesce((
    SELECT sum(events)::bigint FROM conversion_days AS known
    WHERE known.environment_id = %(environment_id)s AND known.event_name = ANY (%(event_names)s)
      AND known.day BETWEEN {day} - %(before_days)s::int AND {day} + %(span_days)s::int
), 0)"""
_PLACE = "sums.environment_id = %(environment_id)s AND sums.experiment = %(experiment)s AND sums.phase = %(phase)s"

# Units of the open cohorts, and those of the valid days that crossed over or are left out (`sign` -1). `{open}` says
# when the former were first exposed, once the valid days are known: the planner then sees how few they are.
_UNITS = """
SELECT unit_id, variant, first_at, (first_at AT TIME ZONE 'UTC')::date AS day, 1 AS sign
FROM first_exposures
WHERE environment_id = %(environment_id)s AND experiment = %(experiment)s AND phase = %(phase)s AND ({open})
"""
ALL_OPEN = _UNITS
OPEN = _UNITS + f"AND (crossed_at IS NULL OR crossed_at >= %(until)s) AND {COUNTS}"
_TAKEN_OFF = """
SELECT unit_id, variant, first_at, (first_at AT TIME ZONE 'UTC')::date AS day, -1 AS sign
FROM first_exposures
WHERE environment_id = %(environment_id)s AND experiment = %(experiment)s AND phase = %(phase)s
  AND {which} AND {enrolled} AND (first_at AT TIME ZONE 'UTC')::date = ANY (%(valid_days)s::date[])
"""
# Two searches, so that each has an index of its own.
CROSSED = " UNION ALL ".join(
    _TAKEN_OFF.format(which=which, enrolled=ENROLLED)
    for which in (
        "crossed_at IS NOT NULL AND crossed_at < %(until)s",
        "unit_id = ANY (%(left_out)s::text[]) AND (crossed_at IS NULL OR crossed_at >= %(until)s)",
    )
)
COUNTERS = """
SELECT * FROM unnest(%(days)s::date[], %(changes)s::bigint[], %(arrivals)s::bigint[], %(day_pauses)s::text[])
    AS counters (day, changes, arrived, cut)
"""
# The counters first: what changes between them and the sums then shows as a difference, never the other way.
_READ_COUNTERS = f"""
SELECT wanted.day, {_CHANGES.format(day="wanted.day")}, {_ARRIVED.format(day="wanted.day")}
FROM unnest(%(days)s::date[]) AS wanted (day)
"""
_LOCK = f"SELECT pg_advisory_xact_lock({_LOCK_SPACE}, hashtext(%(experiment)s || '/' || %(lock)s))"


@dataclass(frozen=True, slots=True)
class Rollup:
    """A table of sums by cohort and variant; `key` tells one metric's from another's, `lock` is a parameter too.

    `while_` is what else must be true of a day's `sums` for them to be valid.
    """

    table: str
    key: str
    while_: str = "true"

    @property
    def valid(self) -> str:
        return f"""
        SELECT sums.* FROM {self.table} AS sums
        WHERE {_PLACE} AND {self.key} AND sums.day >= %(first_day)s AND sums.day < %(end_day)s
          AND sums.changes = {_CHANGES.format(day="sums.day")} AND sums.arrived = {_ARRIVED.format(day="sums.day")}
          AND sums.cut = coalesce(%(paused)s::jsonb ->> to_char(sums.day, 'YYYY-MM-DD'), '')
          AND coalesce(sums.last_event_at, '-infinity') < %(deadline)s AND {self.while_}
        """

    def read(self, statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]] | None:
        """Return rows of a statement over the valid days and the open rest; None where no day is valid.

        Each row ends with the number of valid days that the statement found.
        """
        for _ in range(_TRIES):
            with reading() as cursor:
                parameters["paused"] = json.dumps(_paused_hours(parameters))
                days = self._valid_days(cursor, parameters)
                if not days:
                    return None
                _execute(cursor, statement, parameters, days)
                rows = cursor.fetchall()
            if rows and rows[0][-1] == len(days):
                return [tuple(row[:-1]) for row in rows]
        return None

    def refresh(self, statement: str, parameters: dict[str, Any], window: timedelta) -> int:
        """Have the statement store the days that are over and not valid; return the number it answers with."""
        # A cohort whose units may still convert would not be valid tomorrow.
        parameters["end_day"] = min(parameters["end_day"], (datetime.now(UTC) - window).date())
        # Everything stored counts: a reader compares `last_event_at` with its deadline.
        parameters |= {"deadline": NO_END, "until": midnight_of(parameters["end_day"])}
        with reading() as cursor:
            cursor.execute(_LOCK, parameters)
            paused = _paused_hours(parameters)
            parameters["paused"] = json.dumps(paused)
            valid_days = self._valid_days(cursor, parameters)
            parameters["days"] = [day for day in days_of(parameters) if day not in valid_days]
            if not parameters["days"]:
                return 0
            cursor.execute(_READ_COUNTERS, parameters)
            for name, column in zip(("days", "changes", "arrivals"), zip(*cursor.fetchall(), strict=True), strict=True):
                parameters[name] = list(column)
            cursor.execute(
                f"DELETE FROM {self.table} AS sums WHERE {_PLACE} AND {self.key} AND sums.day = ANY (%(days)s::date[])",
                parameters,
            )
            parameters["day_pauses"] = [paused.get(day.isoformat(), "") for day in parameters["days"]]
            _execute(cursor, statement, parameters, valid_days)
            return int(cursor.fetchone()[0])

    def _valid_days(self, cursor: Any, parameters: dict[str, Any]) -> set[date]:
        cursor.execute(f"SELECT DISTINCT day FROM ({self.valid}) AS valid", parameters)
        return {day for (day,) in cursor.fetchall()}


def _execute(cursor: Any, statement: str, parameters: dict[str, Any], valid_days: set[date]) -> None:
    """Run it over the units first exposed in the open stretches, and the crossovers of the valid days."""
    stretches = open_stretches(parameters, valid_days, parameters["closed"])
    within, bounds = within_stretches("first_at", stretches)
    open_from = min((since for since, _ in stretches), default=parameters["until"])
    # Events of open units that count for anything: those of the time before them as well, where that is asked for.
    events_from = open_from - parameters["before_days"] * DAY
    cursor.execute(
        statement.format(open=within),
        parameters | bounds | {"valid_days": sorted(valid_days), "events_open_from": events_from},
    )


def within_stretches(column: str, stretches: Sequence[Stretch]) -> tuple[str, dict[str, datetime]]:
    """Return a condition that the moment is in one of them, and its parameters: the planner sees their lengths."""
    bounds = {f"{column}_since_{n}": since for n, (since, _) in enumerate(stretches)}
    bounds |= {f"{column}_until_{n}": until for n, (_, until) in enumerate(stretches)}
    within = [
        f"{column} >= %({column}_since_{n})s AND {column} < %({column}_until_{n})s" for n in range(len(stretches))
    ]
    return " OR ".join(within) or "false", bounds


def open_stretches(parameters: dict[str, Any], days: Collection[date], closed: Sequence[Stretch]) -> list[Stretch]:
    """Return the time from the first day to `until`, without the days and without what is closed."""
    shut = _joined([*(bounds_of(day) for day in days), *closed])
    found, since = [], midnight_of(parameters["first_day"])
    for from_, to in shut:
        if from_ > since:
            found.append((since, min(from_, parameters["until"])))
        since = max(since, to)
    return [stretch for stretch in [*found, (since, parameters["until"])] if stretch[0] < stretch[1]]


def _joined(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Return the same time in as few stretches as it takes, in order."""
    found: list[Stretch] = []
    for since, until in sorted(stretches):
        if found and since <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], until))
        else:
            found.append((since, until))
    return found


def _paused_hours(parameters: dict[str, Any]) -> dict[str, str]:
    """Return, by day, what the pauses take of it; a roll-up of the day is about the rest."""
    paused: dict[str, str] = {}
    pauses = _joined(parameters["closed"])
    for day in days_of(parameters):
        midnight, next_midnight = bounds_of(day)
        taken = [
            (max(since, midnight) - midnight, min(until, next_midnight) - midnight)
            for since, until in pauses
            if since < next_midnight and until > midnight
        ]
        if taken:
            paused[day.isoformat()] = ", ".join(f"{since} to {until}" for since, until in taken)
    return paused


def cohort_days(period: Period, until: datetime, window: timedelta) -> dict[str, Any]:
    """Return the cohorts that are complete: whole days, up to the one of `until`; and when nobody is enrolled.

    Cohorts whose units may be exposed anew within their `window` are never complete: later exposures change their sums.
    """
    last = min(until, datetime.now(UTC))
    if period.next_phase is not None:
        last = min(last, period.next_phase - window)
    return {
        "first_day": period.since.astimezone(UTC).date(),
        "end_day": last.astimezone(UTC).date(),
        "closed": period.pauses,
    }


def days_of(parameters: dict[str, Any]) -> Iterator[date]:
    day = parameters["first_day"]
    while day < parameters["end_day"]:
        yield day
        day += DAY


def bounds_of(day: date) -> Stretch:
    return midnight_of(day), midnight_of(day + DAY)


def midnight_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


@contextmanager
def reading() -> Iterator[Any]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(SET_UP)
        yield cursor
