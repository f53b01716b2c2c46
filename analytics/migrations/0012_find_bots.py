"""Find an experiment's bots without reading its users: they are few, and so is what their index holds."""

from django.db import migrations

BOTS = """
CREATE INDEX CONCURRENTLY IF NOT EXISTS first_exposures_bots
ON first_exposures (environment_id, experiment, phase) WHERE bot_at IS NOT NULL
"""


class Migration(migrations.Migration):
    atomic = False  # the ingest goes on while the index is built
    dependencies = [("analytics", "0011_count_cohorts")]
    operations = [migrations.RunSQL(BOTS, "DROP INDEX CONCURRENTLY IF EXISTS first_exposures_bots")]
