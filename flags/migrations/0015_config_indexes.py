"""Find the flags that nobody changed for longest, and those with prerequisites, without reading all of them."""

from typing import ClassVar

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies: ClassVar = [("flags", "0014_superseded_scans")]

    operations: ClassVar = [
        AddIndexConcurrently(
            model_name="flagconfig",
            index=models.Index(fields=["environment", "updated_at", "id"], name="config_by_last_change"),
        ),
        AddIndexConcurrently(
            model_name="flagconfig",
            index=models.Index(
                condition=models.Q(("prerequisites", []), _negated=True),
                fields=["flag"],
                name="config_with_prerequisites",
            ),
        ),
    ]
