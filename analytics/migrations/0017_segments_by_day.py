"""What units carried first by the day, which days are folded into it, and sums kept by it."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('analytics', '0016_flag_hours'),
    ]

    operations = [
        migrations.CreateModel(
            name='CohortSegment',
            fields=[
                ('environment_id', models.BigIntegerField()),
                ('experiment', models.TextField()),
                ('phase', models.DateTimeField()),
                ('question', models.TextField()),
                ('day', models.DateField()),
                ('variant', models.TextField()),
                ('changes', models.BigIntegerField()),
                ('arrived', models.BigIntegerField(help_text="Conversions of the days in which this day's units' events count.")),
                ('cut', models.TextField(db_default='', help_text='What pauses took of the day: it is about the rest.')),
                ('last_event_at', models.DateTimeField(help_text='When the latest of them happened, or came.', null=True)),
                ('users', models.BigIntegerField()),
                ('sum_y', models.DecimalField(decimal_places=0, max_digits=40)),
                ('sum_yy', models.DecimalField(decimal_places=0, max_digits=80)),
                ('sum_x', models.DecimalField(decimal_places=0, max_digits=40)),
                ('sum_xx', models.DecimalField(decimal_places=0, max_digits=80)),
                ('sum_xy', models.DecimalField(decimal_places=0, max_digits=80)),
                ('above_cap', models.BigIntegerField(help_text='Units whose y would be larger than its cap.')),
                ('pk', models.CompositePrimaryKey('environment_id', 'experiment', 'phase', 'question', 'day', 'variant', 'segment', blank=True, editable=False, primary_key=True, serialize=False)),
                ('segment', models.TextField(help_text='The value as JSON; empty: none was carried that day.')),
                ('folds', models.BigIntegerField()),
            ],
            options={
                'db_table': 'cohort_segments',
            },
        ),
        migrations.CreateModel(
            name='ExperimentFlag',
            fields=[
                ('pk', models.CompositePrimaryKey('environment_id', 'experiment', 'flag_key', blank=True, editable=False, primary_key=True, serialize=False)),
                ('environment_id', models.BigIntegerField()),
                ('experiment', models.TextField()),
                ('flag_key', models.TextField()),
            ],
            options={
                'db_table': 'experiment_flags',
            },
        ),
        migrations.CreateModel(
            name='SegmentDay',
            fields=[
                ('pk', models.CompositePrimaryKey('environment_id', 'experiment', 'phase', 'attribute', 'day', blank=True, editable=False, primary_key=True, serialize=False)),
                ('environment_id', models.BigIntegerField()),
                ('experiment', models.TextField()),
                ('phase', models.DateTimeField()),
                ('attribute', models.TextField()),
                ('day', models.DateField()),
                ('events', models.BigIntegerField(help_text="Exposures of the flags that were counted in the day, bots' too.")),
                ('folds', models.BigIntegerField(help_text='How often it was.')),
            ],
            options={
                'db_table': 'segment_days',
            },
        ),
        migrations.CreateModel(
            name='UnitSegment',
            fields=[
                ('pk', models.CompositePrimaryKey('environment_id', 'experiment', 'phase', 'attribute', 'unit_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('environment_id', models.BigIntegerField()),
                ('experiment', models.TextField()),
                ('phase', models.DateTimeField()),
                ('attribute', models.TextField()),
                ('unit_id', models.TextField()),
                ('value', models.TextField(help_text='As JSON.')),
                ('carried_at', models.DateTimeField()),
                ('is_late', models.BooleanField(help_text='It may have been carried on a later UTC day than that of the first one.')),
            ],
            options={
                'db_table': 'unit_segments',
                'indexes': [models.Index(condition=models.Q(('is_late', True)), fields=['environment_id', 'experiment', 'phase', 'attribute'], name='unit_segments_late')],
            },
        ),
    ]
