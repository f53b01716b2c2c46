"""Sums of a metric by the day of units' first exposures, and the counters that tell whether they still hold."""

from django.db import migrations, models

# Rows that are counted up again and again stay on their page.
ROOM = """
ALTER TABLE cohort_changes SET (fillfactor = 50);
ALTER TABLE conversion_days SET (fillfactor = 50);
"""
NO_ROOM = """
ALTER TABLE cohort_changes RESET (fillfactor);
ALTER TABLE conversion_days RESET (fillfactor);
"""
# Units that crossed over are few, and those of one day lie together: both indexes are small and cost next to nothing.
CROSSED = """
CREATE INDEX CONCURRENTLY IF NOT EXISTS first_exposures_crossed
ON first_exposures (environment_id, experiment, phase) WHERE crossed_at IS NOT NULL
"""
BY_DAY = """
CREATE INDEX CONCURRENTLY IF NOT EXISTS first_exposures_by_time
ON first_exposures USING brin (first_at) WITH (pages_per_range = 32, autosummarize = on)
"""


class Migration(migrations.Migration):
    atomic = False  # the ingest goes on while the indexes are built
    dependencies = [("analytics", "0006_exposure_attributes")]
    operations = [
        migrations.CreateModel(
            name="CohortChange",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "environment_id",
                        "experiment",
                        "phase",
                        "day",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("environment_id", models.BigIntegerField()),
                ("experiment", models.TextField()),
                ("phase", models.DateTimeField()),
                ("day", models.DateField()),
                ("changes", models.BigIntegerField()),
            ],
            options={"db_table": "cohort_changes"},
        ),
        migrations.CreateModel(
            name="ConversionDay",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "environment_id",
                        "event_name",
                        "day",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("environment_id", models.BigIntegerField()),
                ("event_name", models.TextField()),
                ("day", models.DateField()),
                ("events", models.BigIntegerField()),
            ],
            options={"db_table": "conversion_days"},
        ),
        migrations.CreateModel(
            name="CohortSum",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "environment_id",
                        "experiment",
                        "phase",
                        "event_name",
                        "window_ms",
                        "day",
                        "variant",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("environment_id", models.BigIntegerField()),
                ("experiment", models.TextField()),
                ("phase", models.DateTimeField()),
                ("event_name", models.TextField()),
                ("window_ms", models.BigIntegerField()),
                ("day", models.DateField()),
                ("variant", models.TextField()),
                ("changes", models.BigIntegerField()),
                (
                    "arrived",
                    models.BigIntegerField(
                        help_text="Conversions of the days in which this day's units could convert."
                    ),
                ),
                (
                    "last_event_at",
                    models.DateTimeField(help_text="When the latest of them happened, or came.", null=True),
                ),
                ("users", models.BigIntegerField()),
                ("converted", models.BigIntegerField()),
                ("total_micros", models.DecimalField(decimal_places=0, max_digits=40)),
                ("squares_micros", models.DecimalField(decimal_places=0, max_digits=60)),
                ("events", models.BigIntegerField()),
                ("event_squares", models.BigIntegerField()),
            ],
            options={"db_table": "cohort_sums"},
        ),
        migrations.RunSQL(ROOM, NO_ROOM),
        migrations.RunSQL(CROSSED, "DROP INDEX CONCURRENTLY IF EXISTS first_exposures_crossed"),
        migrations.RunSQL(BY_DAY, "DROP INDEX CONCURRENTLY IF EXISTS first_exposures_by_time"),
    ]
