"""Jobs that erase or export a person, and the choice of pseudonyms on the environment."""

import django.db.models.deletion
import openflagship.ids
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tenancy', '0006_names_as_the_console_has_them'),
    ]

    operations = [
        migrations.AddField(
            model_name='environment',
            name='stores_pseudonyms',
            field=models.BooleanField(db_default=False, default=False, help_text='Events name users by keyed hashes alone, for good. The policy of events has the key.'),
        ),
        migrations.CreateModel(
            name='PrivacyJob',
            fields=[
                ('id', models.UUIDField(default=openflagship.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('act', models.CharField(choices=[('erase', 'Erase'), ('export', 'Export')], max_length=10)),
                ('kind', models.CharField(max_length=100)),
                ('person_id', models.CharField(blank=True, editable=False, max_length=1024)),
                ('trace', models.CharField(help_text='A keyed hash of the id.', max_length=64)),
                ('state', models.CharField(choices=[('waiting', 'Waiting'), ('running', 'Running'), ('done', 'Done'), ('failed', 'Failed')], default='waiting', max_length=10)),
                ('done', models.PositiveIntegerField(default=0)),
                ('total', models.PositiveIntegerField(default=0)),
                ('report', models.JSONField(default=list, help_text='Place by place: how much, and why something remains.')),
                ('file', models.BinaryField(help_text='JSON lines, compressed; kept for seven days.', null=True)),
                ('file_bytes', models.PositiveIntegerField(default=0)),
                ('error', models.TextField(blank=True)),
                ('requested_by', models.CharField(max_length=254)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='privacy_jobs', to='tenancy.organization')),
            ],
            options={
                'verbose_name': 'privacy job',
                'ordering': ['-created_at'],
            },
        ),
    ]
