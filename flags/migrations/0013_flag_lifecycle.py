"""Say whose a flag is, what it is for and how long it is meant to last; keep each day's flag debt of a project."""

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("flags", "0012_code_references"),
        ("tenancy", "0011_flag_lifecycle_limits"),
    ]

    operations: ClassVar = [
        migrations.AddField(
            model_name="flag",
            name="owner",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="The username of who looks after it.",
                max_length=150,
            ),
        ),
        migrations.AddField(
            model_name="flag",
            name="team",
            field=models.CharField(blank=True, db_default="", default="", max_length=60),
        ),
        migrations.AddField(
            model_name="flag",
            name="kind",
            field=models.CharField(
                blank=True,
                choices=[
                    ("release", "Release"),
                    ("experiment", "Experiment"),
                    ("ops", "Operations"),
                    ("permission", "Permission"),
                    ("kill_switch", "Kill switch"),
                ],
                db_default="",
                default="",
                help_text="Empty: nobody has said.",
                max_length=12,
            ),
        ),
        migrations.AddField(
            model_name="flag",
            name="is_permanent",
            field=models.BooleanField(blank=True, help_text="Empty: as its kind is.", null=True),
        ),
        migrations.AddField(model_name="flag", name="expected_end", field=models.DateField(blank=True, null=True)),
        migrations.AddField(
            model_name="flag",
            name="links",
            field=models.JSONField(blank=True, db_default=[], default=list, help_text="[{title, url}, …]"),
        ),
        migrations.CreateModel(
            name="DebtDay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField()),
                ("new", models.PositiveIntegerField(default=0)),
                ("live", models.PositiveIntegerField(default=0)),
                ("complete", models.PositiveIntegerField(default=0)),
                ("ready_to_archive", models.PositiveIntegerField(default=0)),
                (
                    "overdue",
                    models.PositiveIntegerField(
                        default=0, help_text="Past their expected end, whatever their stage."
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="debt_days", to="tenancy.project"
                    ),
                ),
            ],
            options={
                "ordering": ["day"],
                "constraints": [models.UniqueConstraint(fields=("project", "day"), name="debt_day_once")],
            },
        ),
    ]
