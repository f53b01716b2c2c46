"""Drop what sketches replace: a row a unit with its last hour, and the hours of units' days.

An ingest of the former release waits while it finds no `flag_units`; its events stay in the stream meanwhile. The way
back fills the tables from the raw events that are there, and leaves days whose hours are not known.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

# Steps from a day to itself led from one of its hours to a later one.
DROP_STEPS_WITHIN_DAYS = "DELETE FROM flag_day_steps WHERE former_day = day"
REFILL = """
ALTER TABLE flag_units SET (fillfactor = 80);
ALTER TABLE flag_unit_hours SET (fillfactor = 50);
INSERT INTO flag_units (environment_id, flag_key, variant, unit_id, last_hour)
SELECT environment_id, flag_key, variant, unit_id, date_trunc('hour', max(occurred_at), 'UTC')
FROM exposures WHERE NOT is_bot GROUP BY environment_id, flag_key, variant, unit_id;
INSERT INTO flag_unit_hours (environment_id, flag_key, last_hour, variant, units)
SELECT environment_id, flag_key, last_hour, variant, count(*) FROM flag_units
GROUP BY environment_id, flag_key, last_hour, variant;
"""


class Migration(migrations.Migration):
    dependencies = [("analytics", "0018_flag_hour_sketches")]
    # The former release's ingest finds no table, waits, and loses nothing; its aggregation fails and changes nothing.
    safe_because = {
        "DeleteModel FlagUnit": "the former ingest waits meanwhile, and its events stay in the stream",
        "DeleteModel FlagUnitHour": "it goes with the units that it counts",
        "RemoveField flagunitdays.hours": "only aggregation and erasure read it, and are refused until replaced",
        "RemoveField flagdaystep.cells": "as the hours of days",
        "RemoveField flagdaystep.cell_units": "as the hours of days",
        "RemoveField flagdayfold.hour_events": "as the hours of days",
        "RenameModel FlagDayFold": "the class alone is renamed, the table keeps its name",
    }
    operations = [
        migrations.RunSQL(migrations.RunSQL.noop, REFILL),
        migrations.DeleteModel("FlagUnit"),
        migrations.DeleteModel("FlagUnitHour"),
        migrations.RunSQL(DROP_STEPS_WITHIN_DAYS, migrations.RunSQL.noop),
        migrations.RemoveField("flagunitdays", "hours"),
        migrations.RemoveField("flagdaystep", "cells"),
        migrations.RemoveField("flagdaystep", "cell_units"),
        migrations.RemoveField("flagdayfold", "hour_events"),
        # The table keeps its name.
        migrations.RenameModel("FlagDayFold", "FlagDayRollup"),
    ]
