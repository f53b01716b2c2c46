"""Hours of usage in one row of two days, which changes where it stands, with room for that on each page."""

import django.contrib.postgres.fields
from django.db import migrations, models
from django.db.models.deletion import CASCADE

_LOCKED = "LOCK TABLE flag_usage, flag_usage_days IN SHARE ROW EXCLUSIVE MODE"
_DAYS = ", ".join(f"coalesce(sum(total) FILTER (WHERE place = {place}), 0)::bigint" for place in range(1, 32))
# Of each row of usage the last day and the one before it; what is older goes into its month.
_FORWARD = f"""
INSERT INTO flag_usage_hours (usage_id, day, hours, large_hours)
SELECT usage_id, last, CASE WHEN NOT is_large THEN hours::int[] END, CASE WHEN is_large THEN hours END FROM (
    SELECT usage_id, last, hours, 2147483647 < ANY(hours) AS is_large FROM (
        SELECT last.usage_id, last.day AS last,
            coalesce(before.hours, array_fill(0::bigint, ARRAY[24])) || last.hours AS hours
        FROM (SELECT DISTINCT ON (usage_id) * FROM flag_usage_days ORDER BY usage_id, day DESC) AS last
        LEFT JOIN flag_usage_days AS before ON before.usage_id = last.usage_id AND before.day = last.day - 1
    ) AS joined
) AS found;
DELETE FROM flag_usage_days AS old USING flag_usage_hours AS kept
WHERE kept.usage_id = old.usage_id AND old.day >= kept.day - 1;
INSERT INTO flag_usage_months AS month (usage_id, month, days)
SELECT usage_id, date_trunc('month', day)::date, ARRAY[{_DAYS}] FROM (
    SELECT usage_id, day, extract(day FROM day)::int AS place, (SELECT sum(each) FROM unnest(hours) AS each) AS total
    FROM flag_usage_days
) AS placed GROUP BY 1, 2
ON CONFLICT (usage_id, month) DO UPDATE SET days = (
    SELECT array_agg(before + more ORDER BY place)
    FROM unnest(month.days, excluded.days) WITH ORDINALITY AS each (before, more, place)
)
"""  # noqa: S608 - built of numbers
_BACKWARD = """
INSERT INTO flag_usage_days (usage_id, day, hours)
SELECT usage_id, each.day, each.hours FROM (
    SELECT usage_id, day, coalesce(large_hours, hours::bigint[]) AS hours FROM flag_usage_hours
) AS kept, LATERAL (VALUES (kept.day, kept.hours[25:]), (kept.day - 1, kept.hours[:24])) AS each (day, hours)
"""
# Half of each page is free for the next state of its rows: a batch changes all of them in one transaction.
_ROOM = "".join(
    f"ALTER TABLE {table} SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);"
    for table in ("flag_usage", "flag_usage_hours", "flag_usage_months")
)
_NO_ROOM = "".join(
    f"ALTER TABLE {table} RESET (fillfactor, autovacuum_vacuum_scale_factor);"
    for table in ("flag_usage", "flag_usage_hours", "flag_usage_months")
)


class Migration(migrations.Migration):
    _WAITS = "only usage is counted there: it waits in its processes until replaced"
    safe_because = {"DeleteModel FlagUsageDay": _WAITS, "RunSQL 2": _WAITS}
    dependencies = [("analytics", "0027_late_hours")]
    operations = [
        migrations.CreateModel(
            name="FlagUsageHours",
            fields=[
                (
                    "usage",
                    models.OneToOneField(
                        on_delete=CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="analytics.flagusage",
                    ),
                ),
                ("day", models.DateField(help_text="The later one.")),
                (
                    "hours",
                    django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), null=True, size=48),
                ),
                (
                    "large_hours",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(),
                        help_text="Where an hour has over 2³¹.",
                        null=True,
                        size=48,
                    ),
                ),
            ],
            options={
                "db_table": "flag_usage_hours",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(hours__isnull=True, large_hours__isnull=False)
                        | models.Q(hours__isnull=False, large_hours__isnull=True),
                        name="flag_usage_hours_one",
                    )
                ],
            },
        ),
        # In the order of whoever folds, who waits: what is folded between the copy and the end would be lost.
        migrations.RunSQL(_LOCKED, migrations.RunSQL.noop),
        migrations.RunSQL(_ROOM, _NO_ROOM),
        migrations.RunSQL(_FORWARD, _BACKWARD),
        migrations.DeleteModel("FlagUsageDay"),
    ]
