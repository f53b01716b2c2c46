"""Lets hours of usage go into days, and what is old go altogether.

A flag that is asked for every day needs nothing of it: `fold` moves its days. The room for 10,000 flags with three
variants each is measured in benchmarks/RESULTS.md.
"""

from datetime import UTC, date, datetime, timedelta

from django.db import connection, transaction
from django.utils import timezone

from analytics.usage.months import INTO_MONTHS, total_of

# Today is the first of them.
HOURS_KEPT_DAYS = 2
DAYS_KEPT_DAYS = 396
UNKNOWN_KEPT_DAYS = 30
_RECEIPTS_KEPT_DAYS = 8

_FOLD = f"""
WITH old AS (DELETE FROM flag_usage_hours WHERE day < %s RETURNING usage_id, day, large_hours, hours),
summed AS (SELECT usage_id, day, coalesce(large_hours, hours::bigint[]) AS hours FROM old),
totals AS (
    SELECT usage_id, each.day, each.total FROM summed, LATERAL (VALUES
        (summed.day - 1, {total_of("hours[:24]")}), (summed.day, {total_of("hours[25:]")})
    ) AS each (day, total) WHERE each.total > 0
)
{INTO_MONTHS}
"""  # noqa: S608 - built of constants
_OLD = (
    ("DELETE FROM flag_usage_months WHERE month < %s", DAYS_KEPT_DAYS + 31),
    ("DELETE FROM unknown_flags WHERE last_at < %s", UNKNOWN_KEPT_DAYS),
    ("DELETE FROM usage_receipts WHERE received_at < %s", _RECEIPTS_KEPT_DAYS),
)
# Of each kind in one run: batches wait meanwhile. What is left goes with the next run.
_MOST_LEFT_OVER = 20_000
# Without a row of hours and without an environment nothing asks for it any more.
_GONE = """
SELECT id FROM flag_usage
WHERE last_at < %s OR NOT EXISTS (SELECT FROM tenancy_environment WHERE id = flag_usage.environment_id) LIMIT %s
"""
_LEFT_OVER = (
    "DELETE FROM flag_usage_hours WHERE usage_id = ANY(%(gone)s)",
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
        cursor.execute(_FOLD, [today - timedelta(days=HOURS_KEPT_DAYS - 1)])
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
