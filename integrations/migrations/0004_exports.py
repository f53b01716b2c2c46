"""Exports to object storage: what a thing was handed with, and whether a target takes what it is handed."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("integrations", "0003_audit_export")]
    operations = [
        migrations.CreateModel(
            name="ExportTarget",
            fields=[
                (
                    "target",
                    models.CharField(
                        help_text="As the cursors have it.", max_length=64, primary_key=True, serialize=False
                    ),
                ),
                ("kind", models.CharField(max_length=20)),
                (
                    "taken_at",
                    models.DateTimeField(help_text="When it last took something, or had all there was.", null=True),
                ),
                ("failing_since", models.DateTimeField(null=True)),
                ("problem", models.CharField(blank=True, max_length=500)),
            ],
        ),
        migrations.AddField(
            model_name="exportcursor",
            name="mark",
            field=models.CharField(db_default="", default="", help_text="What else it was handed with.", max_length=64),
        ),
        migrations.AlterField(
            model_name="exportcursor",
            name="chain",
            field=models.BigIntegerField(help_text="The organization's or environment's id; 0 is the platform."),
        ),
    ]
