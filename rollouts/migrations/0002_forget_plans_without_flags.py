"""Deletes plans whose flags were deleted for good, which no page can show."""

from typing import Any

from django.db import migrations


def forget(apps: Any, _: Any) -> None:
    apps.get_model("rollouts", "RolloutPlan").objects.filter(parts__isnull=True).delete()


class Migration(migrations.Migration):
    dependencies = [("rollouts", "0001_plans_schedules_triggers")]

    operations = [migrations.RunPython(forget, migrations.RunPython.noop, elidable=True)]
