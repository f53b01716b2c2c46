"""From which version on an environment's version log is whole, once retention has dropped steps of it."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("flags", "0005_layer_holdout"), ("tenancy", "0002_service_accounts_versions_and_idempotency")]
    operations = [
        migrations.CreateModel(
            name="LogFloor",
            fields=[
                (
                    "environment",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="log_floor",
                        serialize=False,
                        to="tenancy.environment",
                    ),
                ),
                ("version", models.BigIntegerField(default=0)),
                ("pruned_at", models.DateTimeField(auto_now=True)),
            ],
        )
    ]
