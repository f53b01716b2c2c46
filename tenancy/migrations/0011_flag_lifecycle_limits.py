"""Let a project say in days when its flags are new, unchanged and unused; empty: the defaults."""

from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import migrations, models


def _days(least: int, most: int) -> models.PositiveSmallIntegerField:
    limits = [MinValueValidator(least), MaxValueValidator(most)]
    return models.PositiveSmallIntegerField(blank=True, null=True, validators=limits)


class Migration(migrations.Migration):
    dependencies: ClassVar = [("tenancy", "0010_guard_an_environment")]

    operations: ClassVar = [
        migrations.AddField(model_name="project", name="flag_new_days", field=_days(1, 365)),
        migrations.AddField(model_name="project", name="flag_unchanged_days", field=_days(1, 3650)),
        migrations.AddField(model_name="project", name="flag_unused_days", field=_days(7, 3650)),
    ]
