# ruff: noqa: S608 - fixed text put together from fixed parts; values are always parameters
"""Sums kept by cohort, the units first exposed on one UTC day: which of them hold, and keeping more.

Sums add over users, so they add over the days of first exposures (never over the days of events). A cohort's sums hold
as long as its first exposures, and the conversions of the days in which it could convert, are as many as they were; the
ingest counts both in the transaction that stores them. Kept sums have crossovers in, since a unit may cross over long
after its first day: what those few contribute is worked out each time and taken off.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from analytics.stores.postgres.reads import NO_END, SET_UP
from analytics.stores.postgres.rollups.cohort_sizes import ENROLLED

DAY = timedelta(days=1)
Stretch = tuple[datetime, datetime]
# Between the question which cohorts hold and the summary the ingest may change one; then it is asked again.
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

# Units of the cohorts to work out, and those that crossed over out of the ones that hold (`sign` -1). `{open}` says
# when the former were first exposed, once it is known which hold: the planner then sees how few they are.
_UNITS = """
SELECT unit_id, variant, first_at, (first_at AT TIME ZONE 'UTC')::date AS day, 1 AS sign
FROM first_exposures
WHERE environment_id = %(environment_id)s AND experiment = %(experiment)s AND phase = %(phase)s AND ({open})
"""
ALL_YOUNG = _UNITS
YOUNG = _UNITS + "AND (crossed_at IS NULL OR crossed_at >= %(until)s)"
CROSSED = f"""
SELECT unit_id, variant, first_at, (first_at AT TIME ZONE 'UTC')::date AS day, -1 AS sign
FROM first_exposures
WHERE environment_id = %(environment_id)s AND experiment = %(experiment)s AND phase = %(phase)s
  AND crossed_at IS NOT NULL AND crossed_at < %(until)s AND {ENROLLED}
  AND (first_at AT TIME ZONE 'UTC')::date = ANY (%(held)s::date[])
"""
COUNTERS = """
SELECT * FROM unnest(%(days)s::date[], %(changes)s::bigint[], %(arrivals)s::bigint[], %(day_cuts)s::text[])
    AS counters (day, changes, arrived, cut)
"""
# The counters first: what changes between them and the sums then shows as a difference, never the other way.
_READ_COUNTERS = f"""
SELECT wanted.day, {_CHANGES.format(day="wanted.day")}, {_ARRIVED.format(day="wanted.day")}
FROM unnest(%(days)s::date[]) AS wanted (day)
"""
_LOCK = f"SELECT pg_advisory_xact_lock({_LOCK_SPACE}, hashtext(%(experiment)s || '/' || %(lock)s))"


@dataclass(frozen=True, slots=True)
class Kept:
    """A table of sums by cohort and variant; `key` tells one metric's from another's, `lock` is a parameter too.

    `while_` is what else must be true of a day's `sums` for them to hold.
    """

    table: str
    key: str
    while_: str = "true"

    @property
    def holding(self) -> str:
        return f"""
        SELECT sums.* FROM {self.table} AS sums
        WHERE {_PLACE} AND {self.key} AND sums.day >= %(first_day)s AND sums.day < %(end_day)s
          AND sums.changes = {_CHANGES.format(day="sums.day")} AND sums.arrived = {_ARRIVED.format(day="sums.day")}
          AND sums.cut = coalesce(%(cuts)s::jsonb ->> to_char(sums.day, 'YYYY-MM-DD'), '')
          AND coalesce(sums.last_event_at, '-infinity') < %(deadline)s AND {self.while_}
        """

    def read(self, statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]] | None:
        """Rows of a statement over the cohorts in `held` and the open rest; None where nothing is kept.

        Each row ends with how many of the `held` it found to hold still.
        """
        for _ in range(_TRIES):
            with reading() as cursor:
                parameters["cuts"] = json.dumps(_cuts(parameters))
                held = self._held(cursor, parameters)
                if not held:
                    return None
                _execute(cursor, statement, parameters, held, open_stretches(parameters, held, parameters["closed"]))
                rows = cursor.fetchall()
            if rows and rows[0][-1] == len(held):
                return [tuple(row[:-1]) for row in rows]
        return None

    def keep(self, statement: str, parameters: dict[str, Any], window: timedelta) -> int:
        """Have the statement store the days that are over and not held; return the number it answers with."""
        # A cohort whose units may still convert would not hold until tomorrow.
        parameters["end_day"] = min(parameters["end_day"], (datetime.now(UTC) - window).date())
        # Everything stored counts: whether it came in time is asked of `last_event_at` when the sums are read.
        parameters |= {"deadline": NO_END, "until": midnight_of(parameters["end_day"])}
        with reading() as cursor:
            cursor.execute(_LOCK, parameters)
            cuts = _cuts(parameters)
            parameters["cuts"] = json.dumps(cuts)
            held = self._held(cursor, parameters)
            parameters["days"] = [day for day in days_of(parameters) if day not in held]
            if not parameters["days"]:
                return 0
            cursor.execute(_READ_COUNTERS, parameters)
            for name, column in zip(("days", "changes", "arrivals"), zip(*cursor.fetchall(), strict=True), strict=True):
                parameters[name] = list(column)
            cursor.execute(
                f"DELETE FROM {self.table} AS sums WHERE {_PLACE} AND {self.key} AND sums.day = ANY (%(days)s::date[])",
                parameters,
            )
            parameters["day_cuts"] = [cuts.get(day.isoformat(), "") for day in parameters["days"]]
            _execute(cursor, statement, parameters, held, open_stretches(parameters, held, parameters["closed"]))
            return int(cursor.fetchone()[0])

    def _held(self, cursor: Any, parameters: dict[str, Any]) -> set[date]:
        cursor.execute(f"SELECT DISTINCT day FROM ({self.holding}) AS holding", parameters)
        return {day for (day,) in cursor.fetchall()}


def _execute(
    cursor: Any, statement: str, parameters: dict[str, Any], held: set[date], stretches: list[Stretch]
) -> None:
    """With the units first exposed in the stretches, and the crossovers of the days that hold."""
    within, bounds = within_stretches("first_at", stretches)
    open_from = min((since for since, _ in stretches), default=parameters["until"])
    # Events of the young that count for anything: those of the time before them as well, where that is asked for.
    events_from = open_from - parameters["before_days"] * DAY
    cursor.execute(
        statement.format(open=within),
        parameters | bounds | {"held": sorted(held), "open_from": open_from, "events_open_from": events_from},
    )


def within_stretches(column: str, stretches: Sequence[Stretch]) -> tuple[str, dict[str, datetime]]:
    """A condition that the moment is in one of them, and its parameters: the planner sees how long they are."""
    bounds = {f"{column}_since_{n}": since for n, (since, _) in enumerate(stretches)}
    bounds |= {f"{column}_until_{n}": until for n, (_, until) in enumerate(stretches)}
    within = [
        f"{column} >= %({column}_since_{n})s AND {column} < %({column}_until_{n})s" for n in range(len(stretches))
    ]
    return " OR ".join(within) or "false", bounds


def open_stretches(parameters: dict[str, Any], held: Collection[date], closed: Sequence[Stretch]) -> list[Stretch]:
    """From the first day to `until`, without the days that hold and without what is closed."""
    shut = _joined([*(bounds_of(day) for day in held), *closed])
    found, since = [], midnight_of(parameters["first_day"])
    for from_, to in shut:
        if from_ > since:
            found.append((since, min(from_, parameters["until"])))
        since = max(since, to)
    return [stretch for stretch in [*found, (since, parameters["until"])] if stretch[0] < stretch[1]]


def _joined(stretches: Sequence[Stretch]) -> list[Stretch]:
    """The same time in as few stretches as it takes, in order."""
    found: list[Stretch] = []
    for since, until in sorted(stretches):
        if found and since <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], until))
        else:
            found.append((since, until))
    return found


def _cuts(parameters: dict[str, Any]) -> dict[str, str]:
    """By day, what the pauses take of it, for the days that they take anything of: what is kept is about the rest."""
    cuts: dict[str, str] = {}
    pauses = _joined(parameters["closed"])
    for day in days_of(parameters):
        midnight, next_midnight = bounds_of(day)
        taken = [
            (max(since, midnight) - midnight, min(until, next_midnight) - midnight)
            for since, until in pauses
            if since < next_midnight and until > midnight
        ]
        if taken:
            cuts[day.isoformat()] = ", ".join(f"{since} to {until}" for since, until in taken)
    return cuts


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
