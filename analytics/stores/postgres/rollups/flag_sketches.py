# ruff: noqa: S608 - fixed text put together from fixed parts; values are always parameters
"""A flag's users by UTC hour and variant as sketches, which answer windows that are not whole days.

The ingest adds an hour's units in the transaction that stores them, and counts the exposures. A sketch is valid while
as many exposures are counted in `flag_exposure_hours`. An hour whose sketch is gone (an erasure, bots found later), or
that an ingest of an older release wrote, is read from its raw rows until its sketch is made anew from them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from django.db import connection, transaction

from analytics.stores.base import FlagExposures
from analytics.stores.postgres.reads import NO_END
from analytics.stores.postgres.rollups.flag_aggregation import hold, together
from analytics.stores.postgres.rollups.flag_days import rows_of
from analytics.stores.postgres.unit_states import FIRST_PHASE
from analytics.stores.sketches import RELATIVE_ERROR, UnitSketch

HOUR = timedelta(hours=1)
_INSTANT = timedelta(microseconds=1)
# A window with more raw rows to read than that is counted one by one by PostgreSQL, which holds no sketch to fill.
_MOST_ROWS = 500_000

# Environment, flag, the hour's beginning, variant.
SketchKey = tuple[int, str, datetime, str]
Stretch = tuple[datetime, datetime]

_KEYS = "environment_id, flag_key, hour, variant"
_UNNESTED = "unnest(%s::bigint[], %s::text[], %s::timestamptz[], %s::text[]"
_COUNT = f"""
INSERT INTO flag_hour_sketches AS known ({_KEYS}, events, sketch)
SELECT {_KEYS}, events, ''::bytea FROM {_UNNESTED}, %s::bigint[]) AS counted ({_KEYS}, events)
ORDER BY {_KEYS}
ON CONFLICT ({_KEYS}) DO UPDATE SET events = known.events + excluded.events
"""
# Rows that the transaction has counted in, and so holds.
_READ = f"SELECT {_KEYS}, sketch FROM flag_hour_sketches JOIN {_UNNESTED}) AS wanted ({_KEYS}) USING ({_KEYS})"
_STORE = f"""
UPDATE flag_hour_sketches AS known SET sketch = added.sketch
FROM {_UNNESTED}, %s::bytea[]) AS added ({_KEYS}, sketch)
WHERE (known.environment_id, known.flag_key, known.hour, known.variant)
    = (added.environment_id, added.flag_key, added.hour, added.variant)
"""
_OF_FLAG = "environment_id = %(environment_id)s AND flag_key = %(flag_key)s"
# Of hours beyond the raw events nothing better is to be had.
_HOURS = f"""
WITH counted AS (
    SELECT hour, variant, sum(exposures)::bigint AS exposures, sum(exposures + bots)::bigint AS events
    FROM flag_exposure_hours
    WHERE {_OF_FLAG} AND hour >= %(since)s AND hour < %(until)s GROUP BY hour, variant
)
SELECT hour, variant, exposures, counted.events, sketch, counted.events = coalesce(sketches.events, 0),
       hour >= coalesce((SELECT raw_since FROM event_policies WHERE environment_id = %(environment_id)s), '-infinity')
FROM counted LEFT JOIN (
    SELECT hour, variant, events, sketch FROM flag_hour_sketches
    WHERE {_OF_FLAG} AND hour >= %(since)s AND hour < %(until)s
) AS sketches USING (hour, variant)
"""
_RAW = f"""
SELECT variant, unit_id, count(*) FROM exposures WHERE {_OF_FLAG} AND NOT is_bot AND ({{within}})
GROUP BY variant, unit_id
"""
_DUE = f"""
SELECT environment_id, hour, flag_key, sum(counted.events)::bigint
FROM (
    SELECT {_KEYS}, sum(exposures + bots) AS events FROM flag_exposure_hours
    WHERE hour >= %(since)s AND hour < %(until)s GROUP BY {_KEYS}
) AS counted
LEFT JOIN flag_hour_sketches AS sketches USING ({_KEYS})
LEFT JOIN event_policies AS policy USING (environment_id)
WHERE counted.events <> coalesce(sketches.events, 0) AND hour >= coalesce(policy.raw_since, '-infinity')
GROUP BY environment_id, hour, flag_key ORDER BY environment_id, hour, flag_key
"""
_COUNTED = """
FROM flag_exposure_hours
WHERE environment_id = %(environment_id)s AND hour = %(hour)s AND flag_key = ANY (%(flag_keys)s)
"""
# An ingest that stores an exposure of the hour waits for these rows from here on, or has committed.
_HOLD_HOUR = f"""
INSERT INTO flag_hour_sketches AS known ({_KEYS}, events, sketch)
SELECT DISTINCT {_KEYS}, 0, ''::bytea {_COUNTED} ORDER BY {_KEYS}
ON CONFLICT ({_KEYS}) DO UPDATE SET events = known.events RETURNING flag_key, variant
"""
_COUNT_HOUR = f"SELECT flag_key, variant, sum(exposures + bots)::bigint {_COUNTED} GROUP BY flag_key, variant"
_UNITS_OF_HOUR = """
SELECT flag_key, variant, unit_id FROM exposures
WHERE environment_id = %(environment_id)s AND flag_key = ANY (%(flag_keys)s) AND NOT is_bot
  AND occurred_at >= %(hour)s AND occurred_at < %(hour)s + interval '1 hour'
GROUP BY flag_key, variant, unit_id
"""
_RENEW = f"""
UPDATE flag_hour_sketches AS known SET events = made.events, sketch = made.sketch
FROM {_UNNESTED}, %s::bigint[], %s::bytea[]) AS made ({_KEYS}, events, sketch)
WHERE (known.environment_id, known.flag_key, known.hour, known.variant)
    = (made.environment_id, made.flag_key, made.hour, made.variant)
"""
_TAKE_HOURS = """
DELETE FROM flag_hour_sketches
WHERE environment_id = %(environment_id)s AND hour < %(before)s AND hour <> date_trunc('day', hour, 'UTC')
RETURNING flag_key, date_trunc('day', hour, 'UTC'), variant, events, sketch
"""
_READ_AT_ONCE = 20_000


def add_units(cursor: Any, events: Mapping[SketchKey, int], units: Mapping[SketchKey, set[str]]) -> None:
    """Count a batch's exposures, bots' too, and add its units to the sketches of their hours.

    The counts take the rows' locks, in one order for every process, so a sketch that is read here stays as it is.
    """
    cursor.execute(_COUNT, [*_columns(list(events)), list(events.values())])
    wanted = [key for key in events if units.get(key)]
    if not wanted:
        return
    cursor.execute(_READ, _columns(wanted))
    changed: dict[SketchKey, bytes] = {}
    for environment_id, flag_key, hour, variant, known in cursor.fetchall():
        key = (environment_id, flag_key, hour.astimezone(UTC), variant)
        sketch = UnitSketch(known)
        sketch.add(units[key])
        packed = sketch.packed()
        if packed != known:
            changed[key] = packed
    if changed:
        cursor.execute(_STORE, [*_columns(list(changed)), list(changed.values())])


def _columns(keys: Sequence[SketchKey]) -> list[list[Any]]:
    return [list(column) for column in zip(*keys, strict=True)]


@dataclass(slots=True)
class _Variant:
    exposures: int = 0
    sketch: UnitSketch = field(default_factory=UnitSketch)


def estimate_users(
    environment_id: int, flag_key: str, since: datetime, until: datetime | None
) -> dict[str, FlagExposures] | None:
    """Count exposures exactly and users by the sketches of full hours; None where that takes too many raw rows.

    Raw rows tell of hours that the window cuts, and of hours without a valid sketch.
    """
    window = since.astimezone(UTC), (until or NO_END).astimezone(UTC)
    first, end = full_hour(window[0] + HOUR - _INSTANT), full_hour(window[1])
    parameters: dict[str, Any] = {"environment_id": environment_id, "flag_key": flag_key}
    bounds = {"since": full_hour(window[0]), "until": end + HOUR if end < window[1] else end}
    found: dict[str, _Variant] = {}
    stale: set[datetime] = set()
    rows = 0
    for hour, variant, exposures, events, sketch, is_valid, is_raw in rows_of(_HOURS, parameters | bounds):
        if not first <= hour < end:
            rows += events * is_raw
            continue
        figures = found.setdefault(variant, _Variant())
        figures.exposures += exposures
        figures.sketch.merge(sketch or b"")
        if is_raw and not is_valid:
            stale.add(hour)
            rows += events
    if rows > _MOST_ROWS:
        return None
    for variant, unit_id, _ in _seen(parameters, [(hour, hour + HOUR) for hour in sorted(stale)]):
        found.setdefault(variant, _Variant()).sketch.add([unit_id])
    for variant, unit_id, exposures in _seen(parameters, [(window[0], first), (end, window[1])] if rows else []):
        figures = found.setdefault(variant, _Variant())
        figures.exposures += exposures
        figures.sketch.add([unit_id])
    return {
        variant: FlagExposures(figures.exposures, min(figures.sketch.users, figures.exposures), RELATIVE_ERROR)
        for variant, figures in sorted(found.items())
        if figures.exposures
    }


def _seen(parameters: dict[str, Any], stretches: Iterable[Stretch]) -> list[tuple[Any, ...]]:
    """Return (variant, unit, exposures) of the raw rows of that time."""
    wanted = [(start, end) for start, end in stretches if start < end]
    if not wanted:
        return []
    within = " OR ".join(
        f"occurred_at >= %(start_{place})s AND occurred_at < %(end_{place})s" for place in range(len(wanted))
    )
    values = {f"start_{place}": start for place, (start, _) in enumerate(wanted)}
    values |= {f"end_{place}": end for place, (_, end) in enumerate(wanted)}
    return rows_of(_RAW.format(within=within), parameters | values)


def full_hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def renew_sketches(since: datetime | None, until: datetime | None) -> int:
    """Make sketches anew from the raw rows of hours in [since, until) that have no valid one; return their number."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE, {"since": since or FIRST_PHASE, "until": until or NO_END})
        due = cursor.fetchall()
    return sum(
        _renew(environment_id, hour, flag_keys)
        for (environment_id, hour), rows in groupby(due, key=lambda row: row[:2])
        for flag_keys in together([(flag_key, events) for *_, flag_key, events in rows])
    )


def _renew(environment_id: int, hour: datetime, flag_keys: Sequence[str]) -> int:
    parameters: dict[str, Any] = {"environment_id": environment_id, "hour": hour, "flag_keys": list(flag_keys)}
    with transaction.atomic(), connection.cursor() as cursor:
        hold(cursor, parameters)
        cursor.execute(_HOLD_HOUR, parameters)
        sketches = {(flag_key, variant): UnitSketch() for flag_key, variant in cursor.fetchall()}
        cursor.execute(_COUNT_HOUR, parameters)
        events = {(flag_key, variant): counted for flag_key, variant, counted in cursor.fetchall()}
        with connection.chunked_cursor() as units:
            units.execute(_UNITS_OF_HOUR, parameters)
            while rows := units.fetchmany(_READ_AT_ONCE):
                for flag_key, variant, unit_id in rows:
                    # A variant that came since is the ingest's own, and complete.
                    if (flag_key, variant) in sketches:
                        sketches[flag_key, variant].add([unit_id])
        keys: list[SketchKey] = [(environment_id, flag_key, hour, variant) for flag_key, variant in sketches]
        counts = [events.get(place, 0) for place in sketches]
        packed = [sketch.packed() for sketch in sketches.values()]
        cursor.execute(_RENEW, [*_columns(keys), counts, packed])
    return len(flag_keys)


def merge_sketches(cursor: Any, environment_id: int, before: datetime) -> None:
    """Make days of the hours before a midnight (UTC)."""
    cursor.execute(_TAKE_HOURS, {"environment_id": environment_id, "before": before})
    events: dict[SketchKey, int] = {}
    sketches: dict[SketchKey, UnitSketch] = {}
    for flag_key, day, variant, counted, sketch in cursor.fetchall():
        key = (environment_id, flag_key, day.astimezone(UTC), variant)
        events[key] = events.get(key, 0) + counted
        sketches.setdefault(key, UnitSketch()).merge(sketch)
    if not events:
        return
    cursor.execute(_COUNT, [*_columns(list(events)), list(events.values())])
    cursor.execute(_READ, _columns(list(events)))
    for _, flag_key, day, variant, known in cursor.fetchall():
        sketches[environment_id, flag_key, day.astimezone(UTC), variant].merge(known)
    cursor.execute(_STORE, [*_columns(list(sketches)), [sketch.packed() for sketch in sketches.values()]])
