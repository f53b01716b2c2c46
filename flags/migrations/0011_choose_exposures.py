"""Let a flag choose which of its evaluations are logged; empty: as its environment says."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("flags", "0010_erase_persons_from_the_log")]

    operations: ClassVar = [
        migrations.AddField(
            model_name="flagconfig",
            name="exposures",
            field=models.CharField(
                blank=True,
                choices=[
                    ("all", "Every evaluation of a user"),
                    ("experiments", "Only those that a running experiment answers"),
                ],
                db_default="",
                default="",
                help_text="Which evaluations are logged; empty: as the environment says.",
                max_length=12,
            ),
        ),
    ]
