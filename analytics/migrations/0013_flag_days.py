"""Room for the days on which a flag's units saw it, the steps between them, and which days are folded."""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

# A unit's row grows by a day at a time, and steps are counted up again and again: both stay on their page.
ROOM = """
ALTER TABLE flag_unit_days SET (fillfactor = 50);
ALTER TABLE flag_day_steps SET (fillfactor = 70);
"""
NO_ROOM = """
ALTER TABLE flag_unit_days RESET (fillfactor);
ALTER TABLE flag_day_steps RESET (fillfactor);
"""


def key(*names: str) -> models.CompositePrimaryKey:
    return models.CompositePrimaryKey(*names, blank=True, editable=False, primary_key=True, serialize=False)


class Migration(migrations.Migration):
    dependencies = [("analytics", "0012_find_bots")]
    operations = [
        migrations.CreateModel(
            name="FlagUnitDays",
            fields=[
                ("pk", key("environment_id", "flag_key", "variant", "unit_id")),
                ("environment_id", models.BigIntegerField()),
                ("flag_key", models.TextField()),
                ("variant", models.TextField()),
                ("unit_id", models.TextField()),
                ("days", ArrayField(models.DateField(), help_text="In order, each once.")),
            ],
            options={"db_table": "flag_unit_days"},
        ),
        migrations.CreateModel(
            name="FlagDayStep",
            fields=[
                ("pk", key("environment_id", "flag_key", "day", "former_day", "variant")),
                ("environment_id", models.BigIntegerField()),
                ("day", models.DateField()),
                ("former_day", models.DateField(help_text="The first of January of the year 1: there was none.")),
                ("units", models.BigIntegerField()),
                ("flag_key", models.TextField()),
                ("variant", models.TextField()),
            ],
            options={"db_table": "flag_day_steps"},
        ),
        migrations.CreateModel(
            name="FlagDayFold",
            fields=[
                ("pk", key("environment_id", "flag_key", "day")),
                ("environment_id", models.BigIntegerField()),
                ("flag_key", models.TextField()),
                ("day", models.DateField()),
                ("events", models.BigIntegerField(help_text="Exposures that were counted in the day, bots' too.")),
            ],
            options={"db_table": "flag_day_folds"},
        ),
        migrations.RunSQL(ROOM, NO_ROOM),
    ]
