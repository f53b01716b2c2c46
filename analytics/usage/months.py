"""SQL that adds totals of days to their months. What adds them has a query `totals` with usage_id, day and total."""

from typing import Final

_DAYS: Final = ", ".join(f"coalesce(sum(total) FILTER (WHERE place = {place}), 0)::bigint" for place in range(1, 32))
# Evaluations of a day may still come once it is here.
INTO_MONTHS: Final = f"""
    INSERT INTO flag_usage_months AS month (usage_id, month, days)
    SELECT usage_id, date_trunc('month', day)::date, ARRAY[{_DAYS}]
    FROM (SELECT usage_id, day, extract(day FROM day)::int AS place, total FROM totals) AS placed
    GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (usage_id, month) DO UPDATE SET days = (
        SELECT array_agg(before + more ORDER BY place)
        FROM unnest(month.days, excluded.days) WITH ORDINALITY AS each (before, more, place)
    )
"""  # noqa: S608 - built of numbers


def total_of(hours: str) -> str:
    """The sum of an array."""
    return f"(SELECT sum(each) FROM unnest({hours}) AS each)"  # noqa: S608 - of a column's name
