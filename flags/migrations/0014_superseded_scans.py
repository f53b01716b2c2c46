"""Scans of a branch that another one has superseded, so that their parts are refused."""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("flags", "0013_flag_lifecycle")]
    operations = [
        migrations.AddField(
            model_name="scannedbranch",
            name="superseded",
            field=ArrayField(
                base_field=models.UUIDField(),
                db_default=[],
                default=list,
                help_text="Scans before it, whose parts are refused.",
                size=None,
            ),
        )
    ]
