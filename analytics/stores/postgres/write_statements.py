"""The statements of the PostgreSQL store's writing half.

Two processes never deadlock. Each takes the tables in the same order: exposures, units, counters, sketches,
conversions. Each takes a table's rows in one order: events by id, units by the bytes of their ids. COPY straight into a
table (`event_copy`) keeps these orders, and a COPY that fails holds nothing of what it entered.
"""

from analytics.stores.postgres.event_copy import Staging

STAGED_EXPOSURES = Staging.of(
    "staged_exposures",
    "evaluation_id uuid, environment_id int8, flag_key text, unit_id text, variant text, reason text, rule_id text,"
    "experiment text, config_version int8, occurred_at timestamptz, received_at timestamptz, source text,"
    "user_agent text, attributes jsonb, is_prefetched bool, is_bot bool",
)
STAGED_CONVERSIONS = Staging.of(
    "staged_conversions",
    "event_id uuid, environment_id int8, unit_id text, event_name text, value float8, occurred_at timestamptz,"
    "received_at timestamptz, properties jsonb, is_bot bool",
)
STAGED_UNITS = Staging.of(
    "staged_units",
    "environment_id int8, experiment text, phase timestamptz, unit_id text, variant text, first_at timestamptz,"
    "crossed_at timestamptz, bot_at timestamptz, bot_variant text, bot_variant_at timestamptz",
)

# A rewrite of derived tables (a new phase, erasure, reclassification) takes this lock alone.
_DERIVED_LOCK = "1001829, 1"
SHARE_DERIVED = f"SELECT pg_advisory_xact_lock_shared({_DERIVED_LOCK})"
HOLD_DERIVED = f"SELECT pg_advisory_xact_lock({_DERIVED_LOCK})"
PHASES = """
SELECT environment_id, experiment, array_agg((extract(epoch FROM started_at) * 1000)::bigint ORDER BY started_at)
FROM exposure_phases GROUP BY environment_id, experiment
"""

# Answers with the new exposures, counted by hour. The rest of the batch had been stored before. `date_bin` from the
# epoch gives UTC's hours at half the cost of `date_trunc`.
INSERT_EXPOSURES = f"""
WITH inserted AS (
    INSERT INTO exposures ({STAGED_EXPOSURES.names})
    SELECT {STAGED_EXPOSURES.names} FROM staged_exposures ORDER BY evaluation_id, environment_id
    ON CONFLICT DO NOTHING
    RETURNING environment_id, flag_key, variant, reason, occurred_at, is_bot
)
SELECT environment_id, flag_key, date_bin('1 hour', occurred_at, 'epoch') AS hour, variant, reason,
       count(*) FILTER (WHERE NOT is_bot), count(*) FILTER (WHERE is_bot)
FROM inserted GROUP BY environment_id, flag_key, hour, variant, reason
"""  # noqa: S608 - fixed text
# Each row costs one look-up by key. OFFSET 0 keeps the planner from reading whole partitions for it.
CONTRADICTIONS = """
SELECT staged.evaluation_id, staged.environment_id, staged.flag_key, staged.unit_id, staged.variant, staged.experiment,
       (extract(epoch FROM staged.occurred_at) * 1000)::bigint, staged.is_bot
FROM staged_exposures AS staged CROSS JOIN LATERAL (
    SELECT * FROM exposures
    WHERE exposures.evaluation_id = staged.evaluation_id AND exposures.environment_id = staged.environment_id
    OFFSET 0
) AS stored
WHERE (staged.flag_key, staged.unit_id, staged.variant, staged.experiment, staged.is_bot, staged.occurred_at)
    IS DISTINCT FROM
      (stored.flag_key, stored.unit_id, stored.variant, stored.experiment, stored.is_bot, stored.occurred_at)
"""
COUNT_HOURS = """
INSERT INTO flag_exposure_hours AS known (environment_id, flag_key, hour, variant, reason, exposures, bots)
SELECT * FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[], %s::text[], %s::text[], %s::bigint[], %s::bigint[])
    AS counted (environment_id, flag_key, hour, variant, reason, exposures, bots)
ORDER BY environment_id, flag_key, hour, variant, reason
ON CONFLICT (environment_id, flag_key, hour, variant, reason) DO UPDATE
SET exposures = known.exposures + excluded.exposures, bots = known.bots + excluded.bots
"""
# The flags whose counts tell of new exposures of an experiment. They are written after the counters, and seldom.
NAME_FLAGS = """
INSERT INTO experiment_flags (environment_id, experiment, flag_key)
SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS named (environment_id, experiment, flag_key)
ORDER BY environment_id, experiment, flag_key ON CONFLICT DO NOTHING
"""
# The rows that MERGE_UNITS answers with: how often each day changed, and the units that each variant gained or lost.
_STEPS = """
unnest(%s::bigint[], %s::text[], %s::timestamptz[], %s::date[], %s::text[], %s::bigint[], %s::bigint[])
    AS counted (environment_id, experiment, phase, day, variant, units, changes)
"""
COUNT_COHORTS = f"""
INSERT INTO cohort_changes AS known (environment_id, experiment, phase, day, changes)
SELECT environment_id, experiment, phase, day, sum(changes) FROM {_STEPS}
GROUP BY environment_id, experiment, phase, day ORDER BY environment_id, experiment, phase, day
ON CONFLICT (environment_id, experiment, phase, day) DO UPDATE SET changes = known.changes + excluded.changes
"""  # noqa: S608 - fixed text
COUNT_SIZES = f"""
INSERT INTO cohort_sizes AS known (environment_id, experiment, phase, day, variant, units, changes)
SELECT * FROM {_STEPS} ORDER BY environment_id, experiment, phase, day, variant
ON CONFLICT (environment_id, experiment, phase, day, variant) DO UPDATE
SET units = known.units + excluded.units, changes = known.changes + excluded.changes
"""  # noqa: S608 - fixed text
# Answers with the new conversions, counted by day.
INSERT_CONVERSIONS = f"""
WITH inserted AS (
INSERT INTO conversions ({STAGED_CONVERSIONS.names})
SELECT {STAGED_CONVERSIONS.names} FROM staged_conversions ORDER BY event_id, environment_id
ON CONFLICT DO NOTHING
RETURNING environment_id, event_name, occurred_at
)
SELECT environment_id, event_name, (occurred_at AT TIME ZONE 'UTC')::date AS day, count(*)
FROM inserted GROUP BY environment_id, event_name, day
"""  # noqa: S608 - fixed text
COUNT_CONVERSION_DAYS = """
INSERT INTO conversion_days AS known (environment_id, event_name, day, events)
SELECT * FROM unnest(%s::bigint[], %s::text[], %s::date[], %s::bigint[])
    AS counted (environment_id, event_name, day, events)
ORDER BY environment_id, event_name, day
ON CONFLICT (environment_id, event_name, day) DO UPDATE SET events = known.events + excluded.events
"""

# Answers with the days and variants of first exposures that gained or lost units: by how many, in how many steps. It is
# `unit_states.with_event` for two states. Of different first variants, the later one counts as an exposure to another
# variant.
_IS_EARLIER = "(known.first_at IS NULL OR (excluded.first_at, excluded.variant) < (known.first_at, known.variant))"
# Equal instants are compared only if the known variant is that instant's. An ingest of an older release writes none.
_IS_BOT_EARLIER = """(
    excluded.bot_at < coalesce(known.bot_at, 'infinity')
    OR excluded.bot_at = known.bot_at AND known.bot_variant_at = known.bot_at
       AND excluded.bot_variant < known.bot_variant
)"""
MERGE_UNITS = f"""
WITH merged AS (
INSERT INTO first_exposures AS known ({STAGED_UNITS.names})
SELECT {STAGED_UNITS.names} FROM staged_units
ORDER BY unit_id COLLATE "C", environment_id, experiment COLLATE "C", phase
ON CONFLICT (environment_id, experiment, phase, unit_id) DO UPDATE
SET variant = CASE WHEN excluded.first_at IS NOT NULL AND {_IS_EARLIER} THEN excluded.variant ELSE known.variant END,
    first_at = least(known.first_at, excluded.first_at),
    crossed_at = CASE
        WHEN known.first_at IS NULL OR excluded.first_at IS NULL OR known.variant = excluded.variant
            THEN least(known.crossed_at, excluded.crossed_at)
        WHEN {_IS_EARLIER} THEN least(known.first_at, excluded.crossed_at)
        ELSE least(known.crossed_at, excluded.first_at)
    END,
    bot_at = least(known.bot_at, excluded.bot_at),
    bot_variant = CASE WHEN {_IS_BOT_EARLIER} THEN excluded.bot_variant ELSE known.bot_variant END,
    bot_variant_at = CASE WHEN {_IS_BOT_EARLIER} THEN excluded.bot_at ELSE known.bot_variant_at END
WHERE excluded.first_at IS NOT NULL AND {_IS_EARLIER}
   OR excluded.variant <> known.variant AND excluded.first_at < coalesce(known.crossed_at, 'infinity')
   OR excluded.crossed_at < coalesce(known.crossed_at, 'infinity')
   OR {_IS_BOT_EARLIER}
RETURNING environment_id, experiment, phase, old.first_at AS former_at, old.variant AS former_variant,
          new.first_at AS first_at, new.variant AS variant
), moved AS (
    SELECT environment_id, experiment, phase, date_bin('1 day', first_at, 'epoch') AS day, variant,
           date_bin('1 day', former_at, 'epoch') AS former_day, former_variant, count(*) AS units
    FROM merged WHERE (former_at, former_variant) IS DISTINCT FROM (first_at, variant)
    GROUP BY environment_id, experiment, phase, day, variant, former_day, former_variant
), steps AS (
    SELECT environment_id, experiment, phase, day, variant, units, units AS changes FROM moved
    UNION ALL
    SELECT environment_id, experiment, phase, former_day, former_variant, -units, units FROM moved
)
SELECT environment_id, experiment, phase, (day AT TIME ZONE 'UTC')::date, variant, sum(units)::bigint,
       sum(changes)::bigint
FROM steps WHERE day IS NOT NULL GROUP BY environment_id, experiment, phase, day, variant
"""  # noqa: S608 - fixed text
