"""Lets hours of usage go into days, and what is old go altogether.

The room for 10,000 flags with three variants each: a day's hours take 260 bytes a row and 20 in the index, 8.4 MB for
30,000 rows. Those of three days, of the days of one month (330 bytes with the index) and the names (200) are 41 MB.
Dead rows come on top.
"""

from datetime import UTC, date, datetime, timedelta

from django.db import connection, transaction
from django.utils import timezone

# Beside today's.
HOURS_KEPT_DAYS = 2
DAYS_KEPT_DAYS = 396
UNKNOWN_KEPT_DAYS = 30
_RECEIPTS_KEPT_DAYS = 8

_DAYS = ", ".join(f"coalesce(sum(total) FILTER (WHERE place = {place}), 0)::bigint" for place in range(1, 32))
# Evaluations of a day may still come once its hours are folded: then its row is there again.
_FOLD = f"""
WITH old AS (DELETE FROM flag_usage_days WHERE day < %s RETURNING *),
totals AS (
    SELECT usage_id, date_trunc('month', day)::date AS month, extract(day FROM day)::int AS place,
           (SELECT sum(evaluations) FROM unnest(hours) AS evaluations) AS total FROM old
)
INSERT INTO flag_usage_months AS known (usage_id, month, days)
SELECT usage_id, month, ARRAY[{_DAYS}] FROM totals GROUP BY usage_id, month ORDER BY usage_id
ON CONFLICT (usage_id, month) DO UPDATE SET days = (
    SELECT array_agg(before + more ORDER BY place)
    FROM unnest(known.days, excluded.days) WITH ORDINALITY AS each (before, more, place)
)
"""  # noqa: S608 - built of numbers
_OLD = (
    ("DELETE FROM flag_usage_months WHERE month < %s", DAYS_KEPT_DAYS + 31),
    ("DELETE FROM unknown_flags WHERE last_at < %s", UNKNOWN_KEPT_DAYS),
    ("DELETE FROM usage_receipts WHERE received_at < %s", _RECEIPTS_KEPT_DAYS),
)
# Of each kind in one run: batches wait meanwhile. What is left goes with the next run.
_MOST_LEFT_OVER = 20_000
# Without a row of days and without an environment nothing asks for it any more.
_GONE = """
SELECT id FROM flag_usage
WHERE last_at < %s OR NOT EXISTS (SELECT FROM tenancy_environment WHERE id = flag_usage.environment_id) LIMIT %s
"""
_LEFT_OVER = (
    "DELETE FROM flag_usage_days WHERE usage_id = ANY(%(gone)s)",
    "DELETE FROM flag_usage_months WHERE usage_id = ANY(%(gone)s)",
    "DELETE FROM flag_usage WHERE id = ANY(%(gone)s)",
    """
    DELETE FROM unknown_flags WHERE (environment_id, flag_key, source_id) IN (
        SELECT environment_id, flag_key, source_id FROM unknown_flags AS each
        WHERE NOT EXISTS (SELECT FROM tenancy_environment WHERE id = each.environment_id) LIMIT %(most)s
    )
    """,
    """
    DELETE FROM usage_sources WHERE id IN (
        SELECT id FROM usage_sources AS each
        WHERE NOT EXISTS (SELECT FROM flag_usage WHERE source_id = each.id)
        AND NOT EXISTS (SELECT FROM unknown_flags WHERE source_id = each.id) LIMIT %(most)s
    )
    """,
)


def apply_retention(*, now: datetime | None = None) -> None:
    """Fold hours into days, and delete what is older than it is kept."""
    now = now or timezone.now()
    today: date = now.astimezone(UTC).date()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_FOLD, [today - timedelta(days=HOURS_KEPT_DAYS)])
    with transaction.atomic(), connection.cursor() as cursor:
        for statement, days in _OLD:
            cursor.execute(statement, [now - timedelta(days=days)])
    with transaction.atomic(), connection.cursor() as cursor:
        # `fold` begins with the sources, so no batch is halfway. This holds no row that a batch may have waited for.
        cursor.execute("LOCK TABLE usage_sources IN EXCLUSIVE MODE")
        cursor.execute(_GONE, [now - timedelta(days=DAYS_KEPT_DAYS), _MOST_LEFT_OVER])
        gone = [pk for (pk,) in cursor.fetchall()]
        for statement in _LEFT_OVER:
            cursor.execute(statement, {"gone": gone, "most": _MOST_LEFT_OVER})
