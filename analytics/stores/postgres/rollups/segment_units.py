# ruff: noqa: S608 - fixed text put together from fixed parts; values are always parameters
"""Statements that take units out of what was aggregated of their attributes, and put them back from raw events.

They work on the units in the temporary table `affected_units`, as those of `rewrite_statements` do.
"""

from analytics.stores.postgres.rewrite_statements import AFFECTED_EXPOSURES

IS_PLAIN = "jsonb_typeof(value) IN ('string', 'number', 'boolean')"
_RAW_SINCE = """
coalesce(
    (SELECT raw_since FROM event_policies AS policy WHERE policy.environment_id = known.environment_id), '-infinity'
)
"""
TAKE_OUT = f"""
DELETE FROM unit_segments AS known USING affected_units AS affected
WHERE known.environment_id = affected.environment_id AND known.unit_id = affected.unit_id
  AND known.carried_at >= {_RAW_SINCE}
"""
PUT_BACK = f"""
INSERT INTO unit_segments (environment_id, experiment, phase, attribute, unit_id, value, carried_at, is_late)
SELECT DISTINCT ON (environment_id, experiment, phase, attribute, unit_id)
       environment_id, experiment, phase, attribute, unit_id, value::text, occurred_at, true
FROM (
    {AFFECTED_EXPOSURES} AND NOT is_bot AND attributes IS NOT NULL AND EXISTS (SELECT FROM segment_days)
) AS placed
JOIN (SELECT DISTINCT environment_id, experiment, phase, attribute FROM segment_days) AS known
    USING (environment_id, experiment, phase)
CROSS JOIN LATERAL (SELECT jsonb_extract_path(attributes, attribute) AS value) AS carried
WHERE {IS_PLAIN}
ORDER BY environment_id, experiment, phase, attribute, unit_id, occurred_at, evaluation_id
ON CONFLICT DO NOTHING
"""
# Whatever their age; and the roll-ups of the days they came on, where one value may be one unit's.
ERASE = (
    """
    DELETE FROM unit_segments AS known USING affected_units AS affected
    WHERE known.environment_id = affected.environment_id AND known.unit_id = affected.unit_id
    """,
    """
    DELETE FROM cohort_segments AS rollup
    USING affected_units AS affected JOIN first_exposures AS known USING (environment_id, unit_id)
    WHERE rollup.environment_id = known.environment_id AND rollup.experiment = known.experiment
      AND rollup.phase = known.phase AND rollup.day = (known.first_at AT TIME ZONE 'UTC')::date
    """,
)
