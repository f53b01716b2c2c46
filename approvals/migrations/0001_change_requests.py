import approvals.models
import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import openflagship.ids
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('tenancy', '0010_guard_an_environment'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Policy',
            fields=[
                ('environment', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='approval_policy', serialize=False, to='tenancy.environment')),
                ('required_approvals', models.PositiveSmallIntegerField(default=0, validators=[django.core.validators.MaxValueValidator(20)])),
                ('approver_roles', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('owner', 'Owner'), ('admin', 'Admin'), ('editor', 'Editor'), ('viewer', 'Viewer')], max_length=10), blank=True, default=approvals.models._admins, size=None)),
                ('approver_groups', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=150), blank=True, default=list, size=None)),
                ('is_own_approval_allowed', models.BooleanField(default=False)),
                ('impact_percent', models.FloatField(blank=True, null=True, validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(100)])),
                ('asks_for_experiments', models.BooleanField(default=False)),
                ('tags', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=60), blank=True, default=list, size=None)),
                ('emergency_roles', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('owner', 'Owner'), ('admin', 'Admin'), ('editor', 'Editor'), ('viewer', 'Viewer')], max_length=10), blank=True, default=list, size=None)),
                ('checks', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=150), blank=True, default=list, help_text='Service accounts that have to approve.', size=None)),
                ('version', models.BigIntegerField(default=1, editable=False)),
                ('updated_at', models.DateTimeField(auto_now=True)),
            ],
            options={
                'verbose_name': 'approval policy',
                'verbose_name_plural': 'approval policies',
            },
        ),
        migrations.CreateModel(
            name='ChangeRequest',
            fields=[
                ('id', models.UUIDField(default=openflagship.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('title', models.CharField(max_length=200)),
                ('description', models.TextField(blank=True)),
                ('author_label', models.CharField(max_length=254)),
                ('state', models.CharField(choices=[('draft', 'Draft'), ('open', 'Open'), ('published', 'Published'), ('cancelled', 'Cancelled')], default='open', max_length=10)),
                ('changes', models.JSONField(help_text='In the order in which they are made: resource, action, patch, baseVersion.')),
                ('bases', models.JSONField(blank=True, default=list, help_text='What each changed resource was when it was proposed.')),
                ('parts', models.JSONField(blank=True, default=list, help_text='Each thing before and after, as evaluators get it.')),
                ('asks', models.JSONField(blank=True, default=list, help_text='What the policies ask of this content.')),
                ('content', models.CharField(help_text='The hash of what publishing it would serve.', max_length=64)),
                ('publish_at', models.DateTimeField(blank=True, null=True)),
                ('due_at', models.DateTimeField(blank=True, help_text='When the schedule looks at it next.', null=True)),
                ('is_automatic', models.BooleanField(default=False, help_text='Published by itself as soon as it may be.')),
                ('held_because', models.TextField(blank=True)),
                ('published_at', models.DateTimeField(blank=True, null=True)),
                ('published_by', models.CharField(blank=True, max_length=254)),
                ('published_version', models.BigIntegerField(blank=True, null=True)),
                ('emergency_reason', models.TextField(blank=True)),
                ('is_review_owed', models.BooleanField(default=False)),
                ('version', models.BigIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('author', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('environment', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='change_requests', to='tenancy.environment')),
                ('reverts', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='reverted_by', to='approvals.changerequest')),
            ],
            options={
                'verbose_name': 'change request',
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='Freeze',
            fields=[
                ('id', models.UUIDField(default=openflagship.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=200)),
                ('reason', models.TextField(blank=True)),
                ('since', models.DateTimeField()),
                ('until', models.DateTimeField(blank=True, null=True)),
                ('cron', models.CharField(blank=True, help_text='Begins it again and again; empty: it holds once.', max_length=100)),
                ('duration', models.DurationField(blank=True, help_text='Of each time that the expression begins it.', null=True)),
                ('zone', models.CharField(default='UTC', max_length=60)),
                ('exempt_roles', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('owner', 'Owner'), ('admin', 'Admin'), ('editor', 'Editor'), ('viewer', 'Viewer')], max_length=10), blank=True, default=list, size=None)),
                ('exempt_groups', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=150), blank=True, default=list, size=None)),
                ('created_by', models.CharField(blank=True, max_length=254)),
                ('version', models.BigIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('environment', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='freezes', to='tenancy.environment')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='freezes', to='tenancy.organization')),
                ('project', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='freezes', to='tenancy.project')),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='Review',
            fields=[
                ('id', models.UUIDField(default=openflagship.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('reviewer_label', models.CharField(max_length=254)),
                ('verdict', models.CharField(choices=[('approve', 'Approved'), ('object', 'Objected'), ('withdraw', 'Took the objection back'), ('comment', 'Commented')], max_length=10)),
                ('text', models.TextField(blank=True)),
                ('content', models.CharField(help_text='The hash of the content that was looked at.', max_length=64)),
                ('bases', models.JSONField(blank=True, default=list, help_text='The versions that the content was built on.')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('request', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='reviews', to='approvals.changerequest')),
                ('reviewer', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['created_at', 'id'],
            },
        ),
        migrations.AddIndex(
            model_name='changerequest',
            index=models.Index(fields=['environment', 'state', '-id'], name='change_request_by_state'),
        ),
        migrations.AddIndex(
            model_name='changerequest',
            index=models.Index(condition=models.Q(('state', 'open')), fields=['due_at'], name='change_request_due'),
        ),
        migrations.AddConstraint(
            model_name='changerequest',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('published_at__isnull', False), ('state', 'published')), models.Q(models.Q(('state', 'published'), _negated=True), ('published_at__isnull', True)), _connector='OR'), name='change_request_published_at'),
        ),
        migrations.AddConstraint(
            model_name='changerequest',
            constraint=models.CheckConstraint(condition=models.Q(('is_review_owed', False), ('state', 'published'), _connector='OR'), name='change_request_review_owed_after'),
        ),
        migrations.AddConstraint(
            model_name='freeze',
            constraint=models.CheckConstraint(condition=models.Q(('environment__isnull', True), ('project__isnull', False), _connector='OR'), name='freeze_scope_nested'),
        ),
        migrations.AddConstraint(
            model_name='freeze',
            constraint=models.CheckConstraint(condition=models.Q(('until__isnull', True), ('until__gt', models.F('since')), _connector='OR'), name='freeze_ends_after_it_begins'),
        ),
        migrations.AddConstraint(
            model_name='freeze',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('cron', ''), ('duration__isnull', True)), models.Q(models.Q(('cron', ''), _negated=True), ('duration__isnull', False)), _connector='OR'), name='freeze_recurs_with_a_duration'),
        ),
    ]
