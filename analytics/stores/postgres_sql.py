"""The statements of the PostgreSQL store's writing half.

Two processes never deadlock: each takes the tables in the same order (exposures, units, last hours, counters,
conversions) and each table's rows in one order: the events' by id, the units' by unit, which sorts cheapest.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Staging:
    """A temporary table of one connection: it writes no log, and is empty outside a transaction."""

    table: str
    columns: tuple[tuple[str, str], ...]

    @property
    def create(self) -> str:
        columns = ", ".join(f"{name} {kind}" for name, kind in self.columns)
        return f"CREATE TEMPORARY TABLE IF NOT EXISTS {self.table} ({columns}) ON COMMIT DELETE ROWS"

    @property
    def types(self) -> list[str]:
        return [kind for _, kind in self.columns]


def _staging(table: str, columns: str) -> Staging:
    pairs = (column.split() for column in columns.split(","))
    return Staging(table, tuple((name, kind) for name, kind in pairs))


STAGED_EXPOSURES = _staging(
    "staged_exposures",
    "evaluation_id uuid, environment_id int8, flag_key text, unit_id text, variant text, reason text, rule_id text,"
    "experiment text, config_version int8, occurred_ms int8, received_ms int8, source text, user_agent text,"
    "attributes text, is_bot bool",
)
STAGED_CONVERSIONS = _staging(
    "staged_conversions",
    "event_id uuid, environment_id int8, unit_id text, event_name text, value float8, occurred_ms int8,"
    "received_ms int8, properties text, is_bot bool",
)
STAGED_UNITS = _staging(
    "staged_units",
    "environment_id int8, experiment text, phase_ms int8, unit_id text, variant text, first_ms int8, crossed_ms int8,"
    "bot_ms int8, bot_variant text",
)
STAGED_HOURS = _staging("staged_hours", "environment_id int8, flag_key text, variant text, unit_id text, hour_ms int8")

# Whoever rewrites derived tables (a new phase, erasure, reclassification) takes this lock alone.
_DERIVED_LOCK = "1001829, 1"
SHARE_DERIVED = f"SELECT pg_advisory_xact_lock_shared({_DERIVED_LOCK})"
HOLD_DERIVED = f"SELECT pg_advisory_xact_lock({_DERIVED_LOCK})"
PHASES = """
SELECT environment_id, experiment, array_agg((extract(epoch FROM started_at) * 1000)::bigint ORDER BY started_at)
FROM exposure_phases GROUP BY environment_id, experiment
"""

# Answers with what is new, counted by hour: the rest of the batch had been stored before. `date_bin` from the epoch
# gives UTC's hours at half the cost of `date_trunc`.
INSERT_EXPOSURES = """
WITH inserted AS (
    INSERT INTO exposures (
        evaluation_id, environment_id, flag_key, unit_id, variant, reason, rule_id, experiment, config_version,
        occurred_at, received_at, source, user_agent, attributes, is_bot
    )
    SELECT
        evaluation_id, environment_id, flag_key, unit_id, variant, reason, rule_id, experiment, config_version,
        to_timestamp(occurred_ms / 1000.0::float8), to_timestamp(received_ms / 1000.0::float8), source, user_agent,
        attributes::jsonb, is_bot
    FROM staged_exposures ORDER BY evaluation_id, environment_id
    ON CONFLICT DO NOTHING
    RETURNING environment_id, flag_key, variant, reason, occurred_at, is_bot
)
SELECT environment_id, flag_key, date_bin('1 hour', occurred_at, 'epoch') AS hour, variant, reason,
       count(*) FILTER (WHERE NOT is_bot), count(*) FILTER (WHERE is_bot)
FROM inserted GROUP BY environment_id, flag_key, hour, variant, reason
"""
# One look-up by key a row: OFFSET 0 keeps the planner from reading whole partitions for it.
CONTRADICTIONS = """
SELECT staged.evaluation_id, staged.environment_id, staged.flag_key, staged.unit_id, staged.variant, staged.experiment,
       staged.occurred_ms, staged.is_bot
FROM staged_exposures AS staged CROSS JOIN LATERAL (
    SELECT * FROM exposures
    WHERE exposures.evaluation_id = staged.evaluation_id AND exposures.environment_id = staged.environment_id
    OFFSET 0
) AS stored
WHERE (staged.flag_key, staged.unit_id, staged.variant, staged.experiment, staged.is_bot,
       to_timestamp(staged.occurred_ms / 1000.0::float8))
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
# Which flags' counts tell of new exposures of an experiment; after the counters, and seldom.
NAME_FLAGS = """
INSERT INTO experiment_flags (environment_id, experiment, flag_key)
SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS named (environment_id, experiment, flag_key)
ORDER BY environment_id, experiment, flag_key ON CONFLICT DO NOTHING
"""
# The rows that MERGE_UNITS answers with: how often each day changed, then which variants' units it gained and lost.
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
# Answers with what is new, counted by day.
INSERT_CONVERSIONS = """
WITH inserted AS (
INSERT INTO conversions (
    event_id, environment_id, unit_id, event_name, value, occurred_at, received_at, properties, is_bot
)
SELECT
    event_id, environment_id, unit_id, event_name, value, to_timestamp(occurred_ms / 1000.0::float8),
    to_timestamp(received_ms / 1000.0::float8), properties::jsonb, is_bot
FROM staged_conversions ORDER BY event_id, environment_id
ON CONFLICT DO NOTHING
RETURNING environment_id, event_name, occurred_at
)
SELECT environment_id, event_name, (occurred_at AT TIME ZONE 'UTC')::date AS day, count(*)
FROM inserted GROUP BY environment_id, event_name, day
"""
COUNT_CONVERSION_DAYS = """
INSERT INTO conversion_days AS known (environment_id, event_name, day, events)
SELECT * FROM unnest(%s::bigint[], %s::text[], %s::date[], %s::bigint[])
    AS counted (environment_id, event_name, day, events)
ORDER BY environment_id, event_name, day
ON CONFLICT (environment_id, event_name, day) DO UPDATE SET events = known.events + excluded.events
"""

# Answers with the days and variants of first exposures that gained or lost units: by how many, and in how many steps.
# `unit_states.with_event` for two states: of different first variants the later one is an exposure to another variant.
_IS_EARLIER = "(known.first_at IS NULL OR (excluded.first_at, excluded.variant) < (known.first_at, known.variant))"
# An equal instant decides only where the variant known is that instant's: an ingest of an older release writes none.
_IS_BOT_EARLIER = """(
    excluded.bot_at < coalesce(known.bot_at, 'infinity')
    OR excluded.bot_at = known.bot_at AND known.bot_variant_at = known.bot_at
       AND excluded.bot_variant < known.bot_variant
)"""
MERGE_UNITS = f"""
WITH merged AS (
INSERT INTO first_exposures AS known (
    environment_id, experiment, phase, unit_id, variant, first_at, crossed_at, bot_at, bot_variant, bot_variant_at
)
SELECT environment_id, experiment, to_timestamp(phase_ms / 1000.0::float8), unit_id, variant,
       to_timestamp(first_ms / 1000.0::float8), to_timestamp(crossed_ms / 1000.0::float8),
       to_timestamp(bot_ms / 1000.0::float8), bot_variant, to_timestamp(bot_ms / 1000.0::float8)
FROM staged_units ORDER BY unit_id, environment_id, experiment, phase_ms
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
MERGE_LAST_HOURS = """
WITH moved AS (
    INSERT INTO flag_units AS known (environment_id, flag_key, variant, unit_id, last_hour)
    SELECT environment_id, flag_key, variant, unit_id, to_timestamp(hour_ms / 1000.0::float8)
    FROM staged_hours ORDER BY unit_id, environment_id, flag_key, variant
    ON CONFLICT (environment_id, flag_key, variant, unit_id) DO UPDATE SET last_hour = excluded.last_hour
    WHERE known.last_hour < excluded.last_hour
    RETURNING environment_id, flag_key, variant, old.last_hour AS former_hour, new.last_hour AS last_hour
), counted AS (
    SELECT environment_id, flag_key, variant, former_hour, last_hour, count(*) AS units FROM moved
    GROUP BY environment_id, flag_key, variant, former_hour, last_hour
), steps AS (
    SELECT environment_id, flag_key, variant, last_hour, units AS step FROM counted
    UNION ALL
    SELECT environment_id, flag_key, variant, former_hour, -units FROM counted WHERE former_hour IS NOT NULL
)
INSERT INTO flag_unit_hours AS known (environment_id, flag_key, last_hour, variant, units)
SELECT environment_id, flag_key, last_hour, variant, sum(step) FROM steps
GROUP BY environment_id, flag_key, last_hour, variant
ORDER BY environment_id, flag_key, last_hour, variant
ON CONFLICT (environment_id, flag_key, last_hour, variant) DO UPDATE SET units = known.units + excluded.units
"""
