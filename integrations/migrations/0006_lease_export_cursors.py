"""Cursors that a worker holds for a time, instead of by a lock in a transaction."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("integrations", "0005_unread_notifications")]
    operations = [
        migrations.AddField(
            model_name="exportcursor",
            name="leased_until",
            field=models.DateTimeField(help_text="Until then the worker that took it is at it.", null=True),
        )
    ]
