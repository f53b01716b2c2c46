# ruff: noqa: S608 - fixed text put together from fixed parts; values are always parameters
"""Fragments of SQL for the hours of a unit's days, and for the steps between them that `flag_day_steps` counts.

A day's hours are a mask: bit 0 is the hour from midnight (UTC). 0 stands for hours that are not known, in a day folded
by a release that kept none; it counts as the first hour until the day is folded again, and no window may cut it.

A step goes to a unit's active hour from the active hour before it: from the last one of its former day, or within the
day. Its `cell` is 24 times the hour it goes to, and the hour it comes from. A row of `flag_day_steps` without cells has
all of its units in cell 0, since nothing is known of their hours.
"""

NO_DAY = "0001-01-01"
RAW_SINCE = "(policy.raw_since AT TIME ZONE 'UTC')::date"
# The mask of a moment's hour, for bit_or.
HOUR_BIT = "1 << date_part('hour', occurred_at AT TIME ZONE 'UTC')::integer"

_BITS = f"'{{{','.join(str(1 << hour) for hour in range(24))}}}'::integer[]"


def last_hour(mask: str) -> str:
    return f"greatest(width_bucket({mask}, {_BITS}) - 1, 0)"


def first_hour(mask: str) -> str:
    return last_hour(f"({mask} & -{mask})")


def hours_of(row: str) -> str:
    """The masks of a row of `flag_unit_days`, one for each of its days."""
    return f"CASE WHEN {row}.hours = '{{}}' THEN array_fill(0, ARRAY[cardinality({row}.days)]) ELSE {row}.hours END"


def cells_of(row: str) -> str:
    """The cells of a row of `flag_day_steps`, and their units, for FROM."""
    return (
        f"unnest(CASE WHEN {row}.cells = '{{}}' THEN '{{0}}' ELSE {row}.cells END, "
        f"CASE WHEN {row}.cells = '{{}}' THEN ARRAY[{row}.units::integer] ELSE {row}.cell_units END)"
    )


# What follows a CTE `links (environment_id, flag_key, variant, day, hours, former_day, former_hours, is_day, units)`:
# each is so many units' way to a day from the former one, with the steps within the day if `is_day`.
STORE_STEPS = f"""
, steps AS (
    SELECT environment_id, flag_key, variant, day, former_day,
           24 * {first_hour("hours")} + {last_hour("former_hours")} AS cell, units FROM links
    UNION ALL
    SELECT environment_id, flag_key, variant, day, day, 24 * hour + {last_hour("(hours & ((1 << hour) - 1))")}, units
    FROM (
        SELECT environment_id, flag_key, variant, day, hours, sum(units) AS units FROM links
        WHERE is_day AND (hours & (hours - 1)) <> 0 GROUP BY environment_id, flag_key, variant, day, hours
    ) AS days CROSS JOIN generate_series(1, 23) AS hour
    WHERE (hours & (1 << hour)) <> 0 AND (hours & ((1 << hour) - 1)) <> 0
), cells AS (
    SELECT environment_id, flag_key, variant, day, former_day, cell, sum(units) AS units FROM steps
    GROUP BY environment_id, flag_key, variant, day, former_day, cell
)
INSERT INTO flag_day_steps AS known (environment_id, flag_key, day, former_day, variant, units, cells, cell_units)
SELECT environment_id, flag_key, day, former_day, variant, sum(units),
       array_agg(cell::smallint ORDER BY cell), array_agg(units::integer ORDER BY cell)
FROM cells GROUP BY environment_id, flag_key, day, former_day, variant
ON CONFLICT (environment_id, flag_key, day, former_day, variant) DO UPDATE
SET units = known.units + excluded.units, (cells, cell_units) = (
    SELECT coalesce(array_agg(cell ORDER BY cell), '{{}}'), coalesce(array_agg(units::integer ORDER BY cell), '{{}}')
    FROM (
        SELECT cell, sum(units) AS units FROM (
            SELECT cell, units FROM {cells_of("known")} AS before (cell, units)
            UNION ALL
            SELECT cell, units FROM unnest(excluded.cells, excluded.cell_units) AS added (cell, units)
        ) AS both_sides GROUP BY cell HAVING sum(units) <> 0
    ) AS after
)
"""
