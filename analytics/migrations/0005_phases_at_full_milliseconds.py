"""Phases begin at full milliseconds, as the ingest counts them; what was kept under others is worked out again."""

from django.db import migrations

FORWARD = """
UPDATE exposure_phases
SET started_at = date_trunc('milliseconds', started_at) + interval '1 millisecond'
WHERE started_at <> date_trunc('milliseconds', started_at);

DELETE FROM first_exposures AS known
WHERE EXISTS (
    SELECT FROM exposures
    WHERE exposures.environment_id = known.environment_id AND exposures.experiment = known.experiment
);
INSERT INTO first_exposures (environment_id, experiment, phase, unit_id, variant, first_at, crossed_at, bot_at)
SELECT environment_id, experiment, phase, unit_id,
       (array_agg(variant ORDER BY first_at, variant) FILTER (WHERE first_at IS NOT NULL))[1],
       min(first_at),
       (array_agg(first_at ORDER BY first_at, variant) FILTER (WHERE first_at IS NOT NULL))[2],
       min(bot_at)
FROM (
    SELECT environment_id, experiment, phase, unit_id, variant,
           min(occurred_at) FILTER (WHERE NOT is_bot) AS first_at,
           min(occurred_at) FILTER (WHERE is_bot) AS bot_at
    FROM (
        SELECT exposures.*, coalesce(
            (SELECT max(started_at) FROM exposure_phases AS phases
             WHERE phases.environment_id = exposures.environment_id AND phases.experiment = exposures.experiment
               AND phases.started_at <= exposures.occurred_at),
            'epoch'
        ) AS phase
        FROM exposures WHERE experiment IS NOT NULL
    ) AS placed
    GROUP BY environment_id, experiment, phase, unit_id, variant
) AS seen
GROUP BY environment_id, experiment, phase, unit_id
ON CONFLICT DO NOTHING;
"""


class Migration(migrations.Migration):
    dependencies = [("analytics", "0004_summable_values")]
    operations = [migrations.RunSQL(FORWARD, migrations.RunSQL.noop)]
