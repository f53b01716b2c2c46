"""How long an environment's events are kept and under which names; units found to be bots."""

import django.db.models.deletion
from django.db import migrations, models

# Rows lie in the order in which they came, so a few bytes a megabyte find those that came since a moment.
ARRIVALS = """
CREATE INDEX exposures_by_arrival ON exposures USING brin (received_at) WITH (pages_per_range = 32);
CREATE INDEX conversions_by_arrival ON conversions USING brin (received_at) WITH (pages_per_range = 32);
"""
NO_ARRIVALS = """
DROP INDEX conversions_by_arrival;
DROP INDEX exposures_by_arrival;
"""


class Migration(migrations.Migration):
    safe_because = {"RunSQL 3": "Ran before the first release, when the event tables were empty."}
    dependencies = [
        ('analytics', '0002_derived_tables'),
        ('tenancy', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='BotUnit',
            fields=[
                ('pk', models.CompositePrimaryKey('environment_id', 'unit_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('environment_id', models.BigIntegerField()),
                ('unit_id', models.TextField()),
                ('found_at', models.DateTimeField(auto_now_add=True)),
                ('because', models.TextField()),
            ],
            options={
                'db_table': 'bot_units',
            },
        ),
        migrations.CreateModel(
            name='EventPolicy',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('retention_days', models.PositiveIntegerField(blank=True, help_text='Empty: RAW_EVENT_RETENTION_DAYS.', null=True)),
                ('pseudonym_key', models.BinaryField(help_text='Units are stored as their HMAC-SHA256 under this key, if there is one.', null=True)),
                ('raw_since', models.DateTimeField(editable=False, help_text='Raw events before it have been dropped.', null=True)),
                ('environment', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='event_policy', to='tenancy.environment')),
            ],
            options={
                'verbose_name_plural': 'event policies',
                'db_table': 'event_policies',
            },
        ),
        migrations.RunSQL(ARRIVALS, NO_ARRIVALS),
    ]
