"""Room for what is asked for: evaluations of flags by the hour and source, and keys that no flag has."""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models
from django.db.models.deletion import CASCADE


def _key(*names: str) -> models.CompositePrimaryKey:
    return models.CompositePrimaryKey(*names, blank=True, editable=False, primary_key=True, serialize=False)


def _id() -> models.BigAutoField:
    return models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


def _of(model: str, related_name: str = "+") -> models.ForeignKey:
    return models.ForeignKey(
        db_index=False, on_delete=CASCADE, related_name=related_name, to=f"analytics.{model}"
    )


class Migration(migrations.Migration):
    dependencies = [("analytics", "0023_pseudonyms_on_the_environment")]
    operations = [
        migrations.CreateModel(
            name="UsageSource",
            fields=[
                ("id", _id()),
                ("environment_id", models.BigIntegerField()),
                ("kind", models.TextField(help_text="api, ofrep, sdk or edge.")),
                (
                    "service",
                    models.TextField(help_text="The service that asks, else its credential's name; empty: the rest."),
                ),
                (
                    "sdk",
                    models.TextField(help_text='Name and version, such as "python/0.1.0"; empty where there is none.'),
                ),
            ],
            options={
                "db_table": "usage_sources",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("environment_id", "kind", "service", "sdk"), name="usage_sources_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="FlagUsage",
            fields=[
                ("id", _id()),
                ("environment_id", models.BigIntegerField()),
                ("last_at", models.DateTimeField(help_text="When it was evaluated last, to the minute.")),
                ("source", _of("usagesource")),
                ("flag_key", models.TextField()),
                (
                    "variant",
                    models.TextField(
                        help_text="Empty: the caller's default was served, or a variant that it no longer has."
                    ),
                ),
                ("reason", models.TextField()),
            ],
            options={
                "db_table": "flag_usage",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("environment_id", "flag_key", "source", "variant", "reason"), name="flag_usage_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="FlagUsageDay",
            fields=[
                ("pk", _key("usage_id", "day")),
                ("usage", _of("flagusage", "days")),
                ("day", models.DateField()),
                ("hours", ArrayField(base_field=models.BigIntegerField(), size=24)),
            ],
            options={"db_table": "flag_usage_days"},
        ),
        migrations.CreateModel(
            name="FlagUsageMonth",
            fields=[
                ("pk", _key("usage_id", "month")),
                ("usage", _of("flagusage", "months")),
                ("month", models.DateField(help_text="Its first day.")),
                ("days", ArrayField(base_field=models.BigIntegerField(), size=31)),
            ],
            options={"db_table": "flag_usage_months"},
        ),
        migrations.CreateModel(
            name="UnknownFlag",
            fields=[
                ("pk", _key("environment_id", "flag_key", "source_id")),
                ("environment_id", models.BigIntegerField()),
                ("evaluations", models.BigIntegerField()),
                ("first_at", models.DateTimeField()),
                ("last_at", models.DateTimeField()),
                ("source", _of("usagesource")),
                ("flag_key", models.TextField()),
            ],
            options={"db_table": "unknown_flags"},
        ),
        migrations.CreateModel(
            name="UsageReceipt",
            fields=[
                ("pk", _key("environment_id", "batch")),
                (
                    "environment_id",
                    models.BigIntegerField(help_text="0: a batch of the server's own, of any environments."),
                ),
                ("received_at", models.DateTimeField()),
                ("batch", models.TextField()),
            ],
            options={
                "db_table": "usage_receipts",
                "indexes": [models.Index(fields=["received_at"], name="usage_receipts_age")],
            },
        ),
    ]
