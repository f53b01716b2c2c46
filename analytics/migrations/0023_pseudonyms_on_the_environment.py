"""Say on each environment whether its policy stores pseudonyms."""

from typing import Any

from django.db import migrations


def say(apps: Any, _editor: Any) -> None:
    chosen = apps.get_model("analytics", "EventPolicy").objects.filter(pseudonym_key__isnull=False)
    environments = apps.get_model("tenancy", "Environment").objects
    environments.filter(pk__in=chosen.values("environment")).update(stores_pseudonyms=True)


class Migration(migrations.Migration):
    dependencies = [("analytics", "0022_chosen_ids_apart"), ("tenancy", "0007_privacy_jobs")]
    operations = [migrations.RunPython(say, migrations.RunPython.noop)]
