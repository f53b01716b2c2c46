"""A metric's type is one of the registry's, so the column no longer lists them; nothing changes in the database."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("experiments", "0006_metric_value_property")]

    operations = [
        migrations.AlterField(
            model_name="metric",
            name="type",
            field=models.CharField(default="binary", max_length=10),
        ),
    ]
