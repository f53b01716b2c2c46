"""What the ingest keeps up beside the raw events: first exposures, hours, units."""

from django.db import migrations, models

# Rows that are counted up again and again stay on their page.
ROOM = """
ALTER TABLE flag_exposure_hours SET (fillfactor = 50);
ALTER TABLE flag_unit_hours SET (fillfactor = 50);
ALTER TABLE flag_units SET (fillfactor = 80);
"""
NO_ROOM = """
ALTER TABLE flag_exposure_hours RESET (fillfactor);
ALTER TABLE flag_unit_hours RESET (fillfactor);
ALTER TABLE flag_units RESET (fillfactor);
"""

class Migration(migrations.Migration):

    dependencies = [
        ('analytics', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='ExposurePhase',
            fields=[
                ('pk', models.CompositePrimaryKey('environment_id', 'experiment', 'started_at', blank=True, editable=False, primary_key=True, serialize=False)),
                ('environment_id', models.BigIntegerField()),
                ('experiment', models.TextField()),
                ('started_at', models.DateTimeField()),
            ],
            options={
                'db_table': 'exposure_phases',
            },
        ),
        migrations.CreateModel(
            name='FirstExposure',
            fields=[
                ('pk', models.CompositePrimaryKey('environment_id', 'experiment', 'phase', 'unit_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('environment_id', models.BigIntegerField()),
                ('phase', models.DateTimeField()),
                ('first_at', models.DateTimeField(help_text="Empty while only bots' exposures are known.", null=True)),
                ('crossed_at', models.DateTimeField(help_text='When it first saw another variant than its first.', null=True)),
                ('bot_at', models.DateTimeField(help_text="Its first exposure that is a bot's.", null=True)),
                ('experiment', models.TextField()),
                ('variant', models.TextField(null=True)),
                ('unit_id', models.TextField()),
            ],
            options={
                'db_table': 'first_exposures',
            },
        ),
        migrations.CreateModel(
            name='FlagExposureHour',
            fields=[
                ('pk', models.CompositePrimaryKey('environment_id', 'flag_key', 'hour', 'variant', 'reason', blank=True, editable=False, primary_key=True, serialize=False)),
                ('environment_id', models.BigIntegerField()),
                ('hour', models.DateTimeField()),
                ('exposures', models.BigIntegerField()),
                ('bots', models.BigIntegerField()),
                ('flag_key', models.TextField()),
                ('variant', models.TextField()),
                ('reason', models.TextField()),
            ],
            options={
                'db_table': 'flag_exposure_hours',
            },
        ),
        migrations.CreateModel(
            name='FlagUnit',
            fields=[
                ('pk', models.CompositePrimaryKey('environment_id', 'flag_key', 'variant', 'unit_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('environment_id', models.BigIntegerField()),
                ('last_hour', models.DateTimeField()),
                ('flag_key', models.TextField()),
                ('variant', models.TextField()),
                ('unit_id', models.TextField()),
            ],
            options={
                'db_table': 'flag_units',
            },
        ),
        migrations.CreateModel(
            name='FlagUnitHour',
            fields=[
                ('pk', models.CompositePrimaryKey('environment_id', 'flag_key', 'last_hour', 'variant', blank=True, editable=False, primary_key=True, serialize=False)),
                ('environment_id', models.BigIntegerField()),
                ('last_hour', models.DateTimeField()),
                ('units', models.BigIntegerField()),
                ('flag_key', models.TextField()),
                ('variant', models.TextField()),
            ],
            options={
                'db_table': 'flag_unit_hours',
            },
        ),
        migrations.CreateModel(
            name='DerivedRevision',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('value', models.BigIntegerField(default=0)),
            ],
            options={
                'db_table': 'derived_revision',
                'constraints': [models.CheckConstraint(condition=models.Q(('pk', 1)), name='derived_revision_single_row')],
            },
        ),
        migrations.RunSQL(ROOM, NO_ROOM),
    ]
