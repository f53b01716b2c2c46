"""A metric may take a property of its events for their value."""

from django.db import migrations, models


class Migration(migrations.Migration):
    safe_because = {
        "AddConstraint metric_property_of_values": "A table of a few thousand rows: the lock lasts milliseconds.",
    }
    dependencies = [("experiments", "0005_breakdowns")]

    operations = [
        migrations.AddField(
            model_name="metric",
            name="value_property",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="The event's property that is its value here; empty is the value the event was sent with.",
                max_length=200,
            ),
        ),
        migrations.AddConstraint(
            model_name="metric",
            constraint=models.CheckConstraint(
                condition=models.Q(("value_property", ""))
                | models.Q(("type__in", ["continuous", "ratio", "quantile"])),
                name="metric_property_of_values",
            ),
        ),
    ]
