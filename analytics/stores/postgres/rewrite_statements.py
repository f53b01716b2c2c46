# ruff: noqa: S608 - fixed text put together from fixed parts; values are always parameters
"""Statements that take units out of the derived tables, and put them back from the raw events that are there.

They work on the units in the temporary table `affected_units`. What was derived from raw events that retention has
dropped since cannot be worked out again, and stays as it is.
"""

from analytics.stores.postgres.rollups.flag_aggregation import NO_DAY, RAW_SINCE

CREATE_AFFECTED = "CREATE TEMPORARY TABLE affected_units (environment_id bigint, unit_id text) ON COMMIT DROP"
DROP_AFFECTED = "DROP TABLE affected_units"
FILL_AFFECTED = """
INSERT INTO affected_units SELECT DISTINCT * FROM unnest(%(environment_ids)s::bigint[], %(unit_ids)s::text[])
"""
# Steps the counts of the days of first exposures as the ingest does: `sign` tells whether their units come or leave.
_STEP_COHORTS = """
WITH counted AS (
    SELECT environment_id, experiment, phase, (first_at AT TIME ZONE 'UTC')::date AS day, variant, count(*) AS units
    FROM {units} AND first_at IS NOT NULL GROUP BY environment_id, experiment, phase, day, variant
), changed AS (
    INSERT INTO cohort_changes AS known (environment_id, experiment, phase, day, changes)
    SELECT environment_id, experiment, phase, day, sum(units) FROM counted
    GROUP BY environment_id, experiment, phase, day
    ON CONFLICT (environment_id, experiment, phase, day) DO UPDATE SET changes = known.changes + excluded.changes
)
INSERT INTO cohort_sizes AS known (environment_id, experiment, phase, day, variant, units, changes)
SELECT environment_id, experiment, phase, day, variant, {sign} units, units FROM counted
ON CONFLICT (environment_id, experiment, phase, day, variant) DO UPDATE
SET units = known.units + excluded.units, changes = known.changes + excluded.changes
"""
_AFFECTED = "first_exposures JOIN affected_units USING (environment_id, unit_id) WHERE true"
UNCOUNT_AFFECTED = _STEP_COHORTS.format(units=_AFFECTED, sign="-")
COUNT_AFFECTED = _STEP_COHORTS.format(units=_AFFECTED, sign="")
_OF_PHASE = """
first_exposures
WHERE environment_id = %(environment_id)s AND experiment = %(experiment)s AND phase = {phase} AND first_at >= {since}
"""
UNCOUNT_FORMER_PHASE = _STEP_COHORTS.format(
    units=_OF_PHASE.format(phase="%(former_phase)s", since="%(started_at)s"), sign="-"
)
COUNT_PHASE = _STEP_COHORTS.format(units=_OF_PHASE.format(phase="%(started_at)s", since="%(started_at)s"), sign="")
# What `first_exposures` keeps of a unit, from its first exposures to each variant (`first_at`, and as a bot `bot_at`).
FIRST_SEEN = """
(array_agg(variant ORDER BY first_at, variant) FILTER (WHERE first_at IS NOT NULL))[1],
min(first_at),
(array_agg(first_at ORDER BY first_at, variant) FILTER (WHERE first_at IS NOT NULL))[2],
min(bot_at),
(array_agg(variant ORDER BY bot_at, variant) FILTER (WHERE bot_at IS NOT NULL))[1],
min(bot_at)
"""
_IS_RAW_THERE = """
NOT EXISTS (
    SELECT FROM event_policies AS policy
    WHERE policy.environment_id = known.environment_id AND {moment} < policy.raw_since
)
"""

# The days on which a unit saw a flag (`flag_days`): those from the raw events that are there.
_STEP_DAYS = f"""
INSERT INTO flag_day_steps AS known (environment_id, flag_key, day, former_day, variant, units)
SELECT environment_id, flag_key, days[place] AS day, coalesce(days[place - 1], '{NO_DAY}') AS former_day, variant,
       {{sign}} count(*)
FROM unit_days LEFT JOIN event_policies AS policy USING (environment_id)
CROSS JOIN LATERAL generate_subscripts(days, 1) AS place
WHERE days[place] >= coalesce({RAW_SINCE}, '{NO_DAY}')
GROUP BY environment_id, flag_key, 3, 4, variant
ON CONFLICT (environment_id, flag_key, day, former_day, variant) DO UPDATE SET units = known.units + excluded.units
"""
_TAKE_OUT_DAYS = f"""
WITH unit_days AS (
    UPDATE flag_unit_days AS known
    SET days = known.days[:width_bucket(coalesce(affected.raw_since, '{NO_DAY}') - 1, known.days)]
    FROM (
        SELECT environment_id, unit_id, {RAW_SINCE} AS raw_since
        FROM affected_units LEFT JOIN event_policies AS policy USING (environment_id)
    ) AS affected
    WHERE known.environment_id = affected.environment_id AND known.unit_id = affected.unit_id
    RETURNING known.environment_id, known.flag_key, known.variant, old.days AS days
)
""" + _STEP_DAYS.format(sign="-")

TAKE_OUT = (
    """
    DELETE FROM first_exposures AS known USING affected_units AS affected
    WHERE known.environment_id = affected.environment_id AND known.unit_id = affected.unit_id
      AND """
    + _IS_RAW_THERE.format(moment="least(known.first_at, known.bot_at)"),
    _TAKE_OUT_DAYS,
)
# With the phase that each fell into.
AFFECTED_EXPOSURES = """
SELECT exposures.*, coalesce(
    (SELECT max(started_at) FROM exposure_phases AS phases
     WHERE phases.environment_id = exposures.environment_id
       AND phases.experiment = exposures.experiment AND phases.started_at <= exposures.occurred_at),
    'epoch'
) AS phase
FROM exposures JOIN affected_units USING (environment_id, unit_id)
WHERE experiment IS NOT NULL
"""
PUT_BACK = (
    """
    INSERT INTO first_exposures (
        environment_id, experiment, phase, unit_id, variant, first_at, crossed_at, bot_at, bot_variant, bot_variant_at
    )
    SELECT environment_id, experiment, phase, unit_id, """
    + FIRST_SEEN
    + """
    FROM (
        SELECT environment_id, experiment, phase, unit_id, variant,
               min(occurred_at) FILTER (WHERE NOT is_bot) AS first_at,
               min(occurred_at) FILTER (WHERE is_bot) AS bot_at
        FROM ("""
    + AFFECTED_EXPOSURES
    + """) AS placed
        GROUP BY environment_id, experiment, phase, unit_id, variant
    ) AS seen
    GROUP BY environment_id, experiment, phase, unit_id
    ORDER BY environment_id, experiment, phase, unit_id
    ON CONFLICT DO NOTHING
    """,
    f"""
    WITH unit_days AS (
        INSERT INTO flag_unit_days AS known (environment_id, flag_key, variant, unit_id, days)
        SELECT environment_id, flag_key, variant, unit_id, array_agg(day ORDER BY day)
        FROM (
            SELECT DISTINCT environment_id, flag_key, variant, unit_id, (occurred_at AT TIME ZONE 'UTC')::date AS day
            FROM exposures JOIN affected_units USING (environment_id, unit_id) WHERE NOT is_bot
        ) AS seen LEFT JOIN event_policies AS policy USING (environment_id)
        WHERE day >= coalesce({RAW_SINCE}, '{NO_DAY}')
        GROUP BY environment_id, flag_key, variant, unit_id
        ON CONFLICT (environment_id, flag_key, variant, unit_id) DO UPDATE SET days = known.days || excluded.days
        RETURNING environment_id, flag_key, variant, days
    )
    """
    + _STEP_DAYS.format(sign=""),
    """
    DELETE FROM flag_unit_days AS known USING affected_units AS affected
    WHERE known.environment_id = affected.environment_id AND known.unit_id = affected.unit_id AND known.days = '{}'
    """,
)

# `changed` are exposures by the hour; the counts of the hours they belong to follow.
_BY_HOUR = """
SELECT environment_id, flag_key, date_trunc('hour', occurred_at, 'UTC') AS hour, variant, reason,
       count(*) FILTER (WHERE is_bot) AS bots, count(*) FILTER (WHERE NOT is_bot) AS exposures
FROM changed GROUP BY environment_id, flag_key, hour, variant, reason
"""
_MOVE_HOURS = """
UPDATE flag_exposure_hours AS known SET {change} FROM by_hour
WHERE known.environment_id = by_hour.environment_id AND known.flag_key = by_hour.flag_key
  AND known.hour = by_hour.hour AND known.variant = by_hour.variant AND known.reason = by_hour.reason
"""
# No unit can be taken out of a sketch: it is made anew from what is left of its hour.
_DROP_SKETCHES = """
DELETE FROM flag_hour_sketches AS known USING by_hour
WHERE known.environment_id = by_hour.environment_id AND known.flag_key = by_hour.flag_key
  AND known.hour = by_hour.hour AND known.variant = by_hour.variant
"""
DROP_SKETCHES_WITH_RAW_EVENTS = """
DELETE FROM flag_hour_sketches
WHERE environment_id = %(environment_id)s AND hour >= coalesce(
    (SELECT raw_since FROM event_policies WHERE environment_id = %(environment_id)s), '-infinity'
)
"""
REFLAG_EXPOSURES = (
    """
    WITH changed AS (
        UPDATE exposures SET is_bot = reflagged.is_bot FROM reflagged
        WHERE exposures.environment_id = reflagged.environment_id AND exposures.unit_id = reflagged.unit_id
          AND exposures.user_agent IS NOT DISTINCT FROM reflagged.user_agent
          AND exposures.is_bot <> reflagged.is_bot
        RETURNING exposures.*
    ), by_hour AS ("""
    + _BY_HOUR
    + "), moved AS ("
    + _MOVE_HOURS.format(
        change="bots = known.bots + by_hour.bots - by_hour.exposures, "
        "exposures = known.exposures + by_hour.exposures - by_hour.bots"
    )
    + "), sketches AS ("
    + _DROP_SKETCHES
    + """)
    SELECT count(*) FILTER (WHERE is_bot), count(*) FILTER (WHERE NOT is_bot) FROM changed
    """
)
REFLAG_CONVERSIONS = """
WITH changed AS (
    UPDATE conversions SET is_bot = reflagged.is_bot FROM reflagged
    WHERE conversions.environment_id = reflagged.environment_id AND conversions.unit_id = reflagged.unit_id
      AND conversions.is_bot <> reflagged.is_bot
    RETURNING conversions.is_bot
)
SELECT count(*) FILTER (WHERE is_bot), count(*) FILTER (WHERE NOT is_bot) FROM changed
"""
DELETE_EXPOSURES = (
    """
    WITH changed AS (
        DELETE FROM exposures USING affected_units AS affected
        WHERE exposures.environment_id = affected.environment_id AND exposures.unit_id = affected.unit_id
        RETURNING exposures.*
    ), by_hour AS ("""
    + _BY_HOUR
    + "), moved AS ("
    + _MOVE_HOURS.format(change="bots = known.bots - by_hour.bots, exposures = known.exposures - by_hour.exposures")
    + "), sketches AS ("
    + _DROP_SKETCHES
    + """), folds AS (
        UPDATE flag_day_folds AS known SET events = known.events - gone.events
        FROM (
            SELECT environment_id, flag_key, (hour AT TIME ZONE 'UTC')::date AS day, sum(exposures + bots) AS events
            FROM by_hour GROUP BY environment_id, flag_key, day
        ) AS gone
        WHERE known.environment_id = gone.environment_id AND known.flag_key = gone.flag_key AND known.day = gone.day
    ), segment_days AS (
        UPDATE segment_days AS known SET events = known.events - gone.events
        FROM (
            SELECT environment_id, experiment, (hour AT TIME ZONE 'UTC')::date AS day, sum(exposures + bots) AS events
            FROM by_hour JOIN experiment_flags USING (environment_id, flag_key)
            GROUP BY environment_id, experiment, day
        ) AS gone
        WHERE known.environment_id = gone.environment_id AND known.experiment = gone.experiment AND known.day = gone.day
    )
    SELECT count(*) FROM changed
    """
)
DELETE_CONVERSIONS = """
DELETE FROM conversions USING affected_units AS affected
WHERE conversions.environment_id = affected.environment_id AND conversions.unit_id = affected.unit_id
"""
# Whatever its age: erasing a unit is not working it out again.
DELETE_DERIVED = (
    # Figures of single units or events, without names: what is left of the days is worked out anew.
    """
    DELETE FROM cohort_distributions AS rollup
    USING affected_units AS affected JOIN first_exposures AS known USING (environment_id, unit_id)
    WHERE rollup.environment_id = known.environment_id AND rollup.experiment = known.experiment
      AND rollup.phase = known.phase AND rollup.day = (known.first_at AT TIME ZONE 'UTC')::date
    """,
    """
    DELETE FROM first_exposures AS known USING affected_units AS affected
    WHERE known.environment_id = affected.environment_id AND known.unit_id = affected.unit_id
    """,
    _TAKE_OUT_DAYS,
    """
    DELETE FROM flag_unit_days AS known USING affected_units AS affected
    WHERE known.environment_id = affected.environment_id AND known.unit_id = affected.unit_id
    """,
    """
    DELETE FROM bot_units AS known USING affected_units AS affected
    WHERE known.environment_id = affected.environment_id AND known.unit_id = affected.unit_id
    """,
)
