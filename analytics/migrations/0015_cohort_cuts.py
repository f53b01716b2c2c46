"""What pauses took of a day, beside what is kept of its units. A constant default rewrites no table."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('analytics', '0014_cohort_distributions'),
    ]

    operations = [
        migrations.AddField(
            model_name='cohortdistribution',
            name='cut',
            field=models.TextField(db_default='', help_text='What pauses took of the day: it is about the rest.'),
        ),
        migrations.AddField(
            model_name='cohortpair',
            name='cut',
            field=models.TextField(db_default='', help_text='What pauses took of the day: it is about the rest.'),
        ),
        migrations.AddField(
            model_name='cohortsum',
            name='cut',
            field=models.TextField(db_default='', help_text='What pauses took of the day: it is about the rest.'),
        ),
    ]
