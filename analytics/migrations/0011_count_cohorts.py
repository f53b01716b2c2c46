"""Count the units that are there, without a lock: what an ingest of the former release adds meanwhile shows.

It steps a day's `changes` alone, which then are no longer those of the day's counts. It opens phases without counting
their units: such a phase is not marked, and this one marks before it counts.
"""

from django.db import migrations

MARK = "UPDATE exposure_phases SET is_counted = true"
# A day's changes stand beside one of its variants; what is asked of them is their sum.
COUNT = """
INSERT INTO cohort_sizes (environment_id, experiment, phase, day, variant, units, changes)
SELECT environment_id, experiment, phase, day, counted.variant, units,
       CASE WHEN variant = min(variant) OVER (PARTITION BY environment_id, experiment, phase, day)
            THEN coalesce(changes, 0) ELSE 0 END
FROM (
    SELECT environment_id, experiment, phase, (first_at AT TIME ZONE 'UTC')::date AS day, variant, count(*) AS units
    FROM first_exposures WHERE first_at IS NOT NULL
    GROUP BY environment_id, experiment, phase, day, variant
) AS counted LEFT JOIN cohort_changes USING (environment_id, experiment, phase, day)
"""


class Migration(migrations.Migration):
    dependencies = [("analytics", "0010_cohort_sizes")]
    operations = [
        migrations.RunSQL(MARK, migrations.RunSQL.noop),
        migrations.RunSQL(COUNT, "DELETE FROM cohort_sizes"),
    ]
