"""Let a flag's bucketBy be a list of names. A wider text needs no rewrite, and one name is stored as before."""

from django.db import migrations

import flags.models


class Migration(migrations.Migration):
    dependencies = [("flags", "0008_name_the_presentation")]

    operations = [
        migrations.AlterField("flagconfig", "bucket_by", flags.models.UnitNamesField(default="userId", max_length=2_000))
    ]
