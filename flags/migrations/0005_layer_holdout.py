"""A layer may reserve its highest buckets for no experiment."""

from django.db import migrations, models


class Migration(migrations.Migration):
    safe_because = {
        "AddConstraint layer_holdout_within_10000": "A table of a few thousand rows: the lock lasts milliseconds.",
    }
    dependencies = [
        ("flags", "0004_environment_signing_keys"),
        ("tenancy", "0002_service_accounts_versions_and_idempotency"),
    ]

    operations = [
        migrations.AddField(
            model_name="layer",
            name="holdout_buckets",
            field=models.PositiveIntegerField(
                default=0, help_text="The highest buckets, which no experiment may have: their units take part in none."
            ),
        ),
        migrations.AddConstraint(
            model_name="layer",
            constraint=models.CheckConstraint(
                condition=models.Q(("holdout_buckets__lte", 10000)), name="layer_holdout_within_10000"
            ),
        ),
    ]
