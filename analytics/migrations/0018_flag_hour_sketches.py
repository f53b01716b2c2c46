"""Room for a flag's units by hour, as sketches.

Hours whose raw events are there get their sketches from those, by the task that aggregates flags. Of older hours the
units last seen in them are known, which is enough for windows up to now: their sketches are made here.
"""

from itertools import groupby
from typing import Any

from django.db import migrations, models

from analytics.stores.sketches import UnitSketch

# A sketch is random bytes: no use to compress it. Counting an hour's exposures then leaves a large one where it is.
ROOM = """
ALTER TABLE flag_hour_sketches ALTER COLUMN sketch SET STORAGE EXTERNAL;
ALTER TABLE flag_hour_sketches SET (fillfactor = 70);
"""
# Exposures and units of the days beyond the raw events; the hours of those are merged into days.
OLD = """
SELECT environment_id, flag_key, date_trunc('day', last_hour, 'UTC') AS day, variant, unit_id
FROM flag_units JOIN event_policies USING (environment_id) WHERE last_hour < raw_since ORDER BY 1, 2, 3, 4
"""
STORE = """
INSERT INTO flag_hour_sketches (environment_id, flag_key, hour, variant, events, sketch)
SELECT %s, %s, %s, %s, coalesce(sum(exposures + bots), 0), %s FROM flag_exposure_hours
WHERE environment_id = %s AND flag_key = %s AND variant = %s AND hour >= %s AND hour < %s::timestamptz + interval '1 day'
"""


def fill(_apps: Any, editor: Any) -> None:
    connection = editor.connection
    with connection.chunked_cursor() as units, connection.cursor() as cursor:
        units.execute(OLD)
        for (environment_id, flag_key, day, variant), rows in groupby(units, key=lambda row: row[:4]):
            sketch = UnitSketch()
            sketch.add(unit_id for *_, unit_id in rows)
            key = (environment_id, flag_key, day, variant)
            cursor.execute(STORE, [*key, sketch.packed(), environment_id, flag_key, variant, day, day])


class Migration(migrations.Migration):
    dependencies = [("analytics", "0017_segments_by_day")]
    operations = [
        migrations.CreateModel(
            name="FlagHourSketch",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "environment_id",
                        "flag_key",
                        "hour",
                        "variant",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("environment_id", models.BigIntegerField()),
                ("hour", models.DateTimeField()),
                ("events", models.BigIntegerField(help_text="Exposures that were counted in the hour, bots' too.")),
                ("flag_key", models.TextField()),
                ("variant", models.TextField()),
                ("sketch", models.BinaryField(help_text="Empty: of no unit.")),
            ],
            options={"db_table": "flag_hour_sketches"},
        ),
        migrations.RunSQL(ROOM, migrations.RunSQL.noop),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
