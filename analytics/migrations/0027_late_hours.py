"""Room for hours that were exported, and of which more was stored since."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("analytics", "0026_find_prefetched")]
    operations = [
        migrations.CreateModel(
            name="LateHour",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("environment_id", models.BigIntegerField()),
                ("table", models.CharField(max_length=20)),
                ("hour", models.BigIntegerField(help_text="Since 1970 (UTC).")),
            ],
            options={"db_table": "events_late_hours"},
        )
    ]
