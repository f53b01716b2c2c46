"""Sums of two figures of each unit, by the day of units' first exposures."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("analytics", "0008_exposures_by_time"),
    ]

    operations = [
        migrations.CreateModel(
            name="CohortPair",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "environment_id",
                        "experiment",
                        "phase",
                        "question",
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
                ("question", models.TextField()),
                ("day", models.DateField()),
                ("variant", models.TextField()),
                ("changes", models.BigIntegerField()),
                (
                    "arrived",
                    models.BigIntegerField(
                        help_text="Conversions of the days in which this day's units' events count."
                    ),
                ),
                (
                    "last_event_at",
                    models.DateTimeField(help_text="When the latest of them happened, or came.", null=True),
                ),
                ("users", models.BigIntegerField()),
                ("sum_y", models.DecimalField(decimal_places=0, max_digits=40)),
                ("sum_yy", models.DecimalField(decimal_places=0, max_digits=80)),
                ("sum_x", models.DecimalField(decimal_places=0, max_digits=40)),
                ("sum_xx", models.DecimalField(decimal_places=0, max_digits=80)),
                ("sum_xy", models.DecimalField(decimal_places=0, max_digits=80)),
                ("above_cap", models.BigIntegerField(help_text="Units whose y would be larger than its cap.")),
            ],
            options={
                "db_table": "cohort_pairs",
            },
        ),
    ]
