"""Room for the hours of the days on which a flag's units saw it.

The columns have no default that lasts: what a release without them writes into these tables is refused, since what
it left out would make answers wrong. Constant defaults meanwhile rewrite no table.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("analytics", "0015_cohort_cuts")]
    operations = [
        migrations.AddField(
            "flagunitdays",
            "hours",
            ArrayField(
                models.IntegerField(),
                default=list,
                help_text="Of each day a mask; none while no day's hours are known.",
            ),
        ),
        migrations.AddField(
            "flagdaystep",
            "cells",
            ArrayField(models.SmallIntegerField(), default=list, help_text="In order; none while no hours are known."),
        ),
        migrations.AddField(
            "flagdaystep",
            "cell_units",
            ArrayField(models.IntegerField(), default=list, help_text="Of each cell; they add up to `units`."),
        ),
        migrations.AddField(
            "flagdayfold",
            "hour_events",
            ArrayField(
                models.BigIntegerField(),
                default=list,
                help_text="Of each hour; none while only the days of units are known.",
            ),
        ),
    ]
