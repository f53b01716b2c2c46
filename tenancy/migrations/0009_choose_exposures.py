"""Let an environment choose which evaluations its flags log."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("tenancy", "0008_edge_credentials")]

    operations: ClassVar = [
        migrations.AddField(
            model_name="environment",
            name="exposures",
            field=models.CharField(
                choices=[
                    ("all", "Every evaluation of a user"),
                    ("experiments", "Only those that a running experiment answers"),
                ],
                db_default="all",
                default="all",
                help_text="What is logged of flags that have no choice of their own.",
                max_length=12,
            ),
        ),
    ]
