"""Figures of units and events by the day of first exposures, where their sums will not do: quantiles, winsorising."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("analytics", "0013_flag_days"),
    ]

    operations = [
        migrations.CreateModel(
            name="CohortDistribution",
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
                ("units", models.BigIntegerField()),
                ("packed", models.BinaryField()),
            ],
            options={
                "db_table": "cohort_distributions",
            },
        ),
    ]
