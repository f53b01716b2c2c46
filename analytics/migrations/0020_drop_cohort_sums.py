"""Drop roll-ups of one event's sums: those of pairs answer the same. The way back makes an empty table, to be filled."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("analytics", "0019_drop_flag_units")]
    safe_because = {
        "DeleteModel CohortSum": "results of the former release fail until it is replaced; what serves reads none"
    }
    operations = [migrations.DeleteModel("CohortSum")]
