"""Room for the number of units by day and variant of first exposure, and for what a bot saw first."""

from django.db import migrations, models

# Rows that are counted up again and again stay on their page.
ROOM = "ALTER TABLE cohort_sizes SET (fillfactor = 50)"
NO_ROOM = "ALTER TABLE cohort_sizes RESET (fillfactor)"


class Migration(migrations.Migration):
    dependencies = [("analytics", "0009_cohort_pairs")]
    operations = [
        migrations.CreateModel(
            name="CohortSize",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "environment_id",
                        "experiment",
                        "phase",
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
                ("day", models.DateField()),
                ("variant", models.TextField()),
                ("units", models.BigIntegerField()),
                ("changes", models.BigIntegerField()),
            ],
            options={"db_table": "cohort_sizes"},
        ),
        migrations.RunSQL(ROOM, NO_ROOM),
        migrations.AddField(
            model_name="exposurephase",
            name="is_counted",
            field=models.BooleanField(
                db_default=False,
                help_text="Its first units were counted as it was opened; older releases do not.",
            ),
        ),
        migrations.AddField(
            model_name="firstexposure",
            name="bot_variant",
            field=models.TextField(null=True),
        ),
        migrations.AddField(
            model_name="firstexposure",
            name="bot_variant_at",
            field=models.DateTimeField(help_text="The `bot_at` that `bot_variant` was seen at.", null=True),
        ),
    ]
