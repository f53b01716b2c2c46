"""Adds a batch of usage to the hours of its day, once.

A row is two days of a flag's variant, reason and source, with their 48 hours in an array: a tenth of the room that a
row for each hour takes. The first batch of a new day lets the older of the two go into its month.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime

from django.db import connection, transaction

from analytics.usage.batches import Source, UsageBatch
from analytics.usage.months import INTO_MONTHS, total_of

# What one environment tells apart. An SDK's version is a source of its own, and each deploy may bring one.
MOST_SOURCES = 500
MOST_UNKNOWN_FLAGS = 1_000
# What an integer of four bytes holds.
MOST_SMALL = 2**31 - 1

_RECEIPT = """
INSERT INTO usage_receipts (environment_id, batch, received_at) VALUES (%s, %s, now()) ON CONFLICT DO NOTHING
"""
_KNOWN_SOURCES = """
SELECT environment_id, kind, service, sdk, id FROM usage_sources
JOIN unnest(%s::bigint[], %s::text[], %s::text[], %s::text[]) AS asked (environment_id, kind, service, sdk)
USING (environment_id, kind, service, sdk) FOR KEY SHARE OF usage_sources
"""
# Nobody else adds sources at the same moment, so that there are never more than so many.
_LOCK_SOURCES = "SELECT pg_advisory_xact_lock(hashtextextended('usage_sources', %s))"
_COUNT_SOURCES = "SELECT count(*) FROM usage_sources WHERE environment_id = %s"
_ADD_SOURCE = """
INSERT INTO usage_sources AS known (environment_id, kind, service, sdk) VALUES (%s, %s, %s, %s)
ON CONFLICT (environment_id, kind, service, sdk) DO UPDATE SET sdk = known.sdk RETURNING id
"""
# In the order of the key, so that two batches never wait for each other.
_USAGE = """
INSERT INTO flag_usage AS known (environment_id, flag_key, source_id, variant, reason, last_at)
SELECT *, %s::timestamptz FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::text[], %s::text[]) AS sent
ORDER BY 1, 2, 3, 4, 5
ON CONFLICT (environment_id, flag_key, source_id, variant, reason)
DO UPDATE SET last_at = greatest(known.last_at, excluded.last_at)
RETURNING id, environment_id, flag_key, source_id, variant, reason
"""
# `_USAGE` holds the rows that these belong to, so no other batch changes them meanwhile. A batch that comes days late
# goes into its month.
_HOURS = f"""
WITH sent AS (
    SELECT usage_id, evaluations, %(day)s::date AS day FROM unnest(%(ids)s::bigint[], %(evaluations)s::bigint[])
    AS each (usage_id, evaluations)
), known AS (
    SELECT usage_id, day, coalesce(large_hours, hours::bigint[]) AS hours FROM flag_usage_hours
    WHERE usage_id = ANY(%(ids)s::bigint[]) FOR UPDATE
), totals AS (
    SELECT usage_id, let_go.day, let_go.total FROM sent JOIN known USING (usage_id), LATERAL (VALUES
        (known.day - 1, {total_of("known.hours[:24]")}, known.day < sent.day),
        (known.day, {total_of("known.hours[25:]")}, known.day < sent.day - 1),
        (sent.day, evaluations, sent.day < known.day - 1)
    ) AS let_go (day, total, is_old)
    WHERE known.day NOT IN (sent.day, sent.day + 1) AND is_old AND total > 0
), months AS ({INTO_MONTHS}),
moved AS (
    SELECT usage_id, evaluations, greatest(sent.day, known.day) AS day,
        (CASE WHEN sent.day < known.day THEN 0 ELSE 24 END) + %(hour)s + 1 AS place,
        CASE WHEN known.day >= sent.day THEN known.hours
             WHEN known.day = sent.day - 1 THEN known.hours[25:] || array_fill(0::bigint, ARRAY[24])
             ELSE array_fill(0::bigint, ARRAY[48]) END AS hours
    FROM sent LEFT JOIN known USING (usage_id) WHERE known.day IS NULL OR known.day <= sent.day + 1
), added AS (
    SELECT usage_id, day, hours[:place - 1] || hours[place] + evaluations || hours[place + 1:] AS hours,
        hours[place] + evaluations > {MOST_SMALL} OR {MOST_SMALL} < ANY(hours) AS is_large FROM moved
)
INSERT INTO flag_usage_hours AS old (usage_id, day, hours, large_hours)
SELECT usage_id, day, CASE WHEN NOT is_large THEN hours::int[] END, CASE WHEN is_large THEN hours END
FROM added ORDER BY usage_id
ON CONFLICT (usage_id) DO UPDATE SET day = excluded.day, hours = excluded.hours, large_hours = excluded.large_hours
"""  # noqa: S608 - built of constants
_UNKNOWN = """
INSERT INTO unknown_flags AS known (environment_id, flag_key, source_id, evaluations, first_at, last_at)
SELECT *, %s::timestamptz, %s::timestamptz FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::bigint[]) AS sent
ORDER BY 1, 2, 3
ON CONFLICT (environment_id, flag_key, source_id) DO UPDATE
SET evaluations = known.evaluations + excluded.evaluations,
    first_at = least(known.first_at, excluded.first_at), last_at = greatest(known.last_at, excluded.last_at)
"""
# A caller may invent keys without end. Those that are really asked for have the higher counts.
_CUT_UNKNOWN = """
DELETE FROM unknown_flags WHERE (environment_id, flag_key, source_id) IN (
    SELECT environment_id, flag_key, source_id FROM unknown_flags WHERE environment_id = %s
    ORDER BY evaluations DESC, last_at DESC, flag_key, source_id OFFSET %s FOR UPDATE SKIP LOCKED
)
"""


@transaction.atomic
def fold(batch: UsageBatch) -> bool:
    """Add the batch; False if it was added before. Raises DatabaseError while PostgreSQL is away."""
    with connection.cursor() as cursor:
        cursor.execute(_RECEIPT, [batch.environment_id, batch.id])
        if not cursor.rowcount:
            return False
    sources = _source_ids({counted.source for counted in batch.flags} | {source for source, _ in batch.unknown})
    _fold_flags(batch, sources)
    _fold_unknown(batch, sources)
    return True


def _fold_flags(batch: UsageBatch, sources: dict[Source, int]) -> None:
    # Sources that share a row are counted together.
    totals: defaultdict[tuple[int, str, int, str, str], int] = defaultdict(int)
    for (source, flag_key, variant, reason), evaluations in batch.flags.items():
        totals[source.environment_id, flag_key, sources[source], variant, reason] += evaluations
    if not totals:
        return
    at = batch.at.astimezone(UTC)
    with connection.cursor() as cursor:
        cursor.execute(_USAGE, [at, *_columns(totals)])
        found = [(row[0], totals[row[1:]]) for row in cursor.fetchall()]
        ids, counts = _columns(found)
        cursor.execute(_HOURS, {"ids": ids, "evaluations": counts, "day": at.date(), "hour": at.hour})


def _fold_unknown(batch: UsageBatch, sources: dict[Source, int]) -> None:
    totals: defaultdict[tuple[int, str, int], int] = defaultdict(int)
    for (source, flag_key), evaluations in batch.unknown.items():
        totals[source.environment_id, flag_key, sources[source]] += evaluations
    if not totals:
        return
    with connection.cursor() as cursor:
        columns = _columns((*key, evaluations) for key, evaluations in totals.items())
        cursor.execute(_UNKNOWN, [batch.at, batch.at, *columns])
        for environment_id in sorted({environment_id for environment_id, *_ in totals}):
            cursor.execute(_CUT_UNKNOWN, [environment_id, MOST_UNKNOWN_FLAGS])


def _source_ids(wanted: set[Source]) -> dict[Source, int]:
    with connection.cursor() as cursor:
        cursor.execute(_KNOWN_SOURCES, _columns(wanted))
        known = {Source(*row[:4]): row[4] for row in cursor.fetchall()}
        room: dict[int, int] = {}
        for source in sorted(wanted - known.keys()):
            environment_id = source.environment_id
            if environment_id not in room:
                cursor.execute(_LOCK_SOURCES, [environment_id])
                cursor.execute(_COUNT_SOURCES, [environment_id])
                room[environment_id] = MOST_SOURCES - cursor.fetchone()[0]
            room[environment_id] -= 1
            stored = source if room[environment_id] >= 0 else source._replace(service="", sdk="")
            cursor.execute(_ADD_SOURCE, stored)
            known[source] = cursor.fetchone()[0]
    return known


def _columns(rows: Iterable[tuple[object, ...]]) -> list[list[object]]:
    """The columns of rows that there are."""
    return [list(column) for column in zip(*rows, strict=True)]


def moment_of(at: datetime, now: datetime) -> datetime:
    """The moment that a sender names, no later than now: a clock that is fast must not make a flag look asked for."""
    return min(at, now)
