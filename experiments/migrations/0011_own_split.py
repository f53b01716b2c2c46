"""Experiments own their split, their place among the flag's rules, and a key.

Experiments that have started keep the flag's allocation. A draft gets what it would have been started with, so that its
start changes nothing for those who take no part.
"""

import re
import unicodedata

import django.core.validators
from django.db import migrations, models
from django.db.models import Q


def give_keys_and_splits(apps, schema_editor):
    experiments = apps.get_model("experiments", "Experiment")
    taken = {}
    for row in experiments.objects.select_related("config__flag").order_by("pk").iterator():
        keys = taken.setdefault(row.environment_id, set())
        row.slug = _free(row.name, keys)
        keys.add(row.slug)
        if row.status == "draft":
            row.allocation = row.config.allocation or _even(row.config.flag.variants)
        row.save(update_fields=["slug", "allocation"])


def _free(name, taken):
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:80].strip("-") or "experiment"
    wanted, number = base, 1
    while wanted in taken or wanted == "power":
        number += 1
        wanted = f"{base}-{number}"
    return wanted


def _even(variants):
    edges = [round(index * 10_000 / len(variants)) for index in range(len(variants) + 1)]
    return [[edges[index], edges[index + 1], variant["key"]] for index, variant in enumerate(variants)]


class Migration(migrations.Migration):
    dependencies = [("experiments", "0010_copy_definitions_into_phases")]
    safe_because = {"AddConstraint experiment_key_once": "A table of a few thousand rows: its index is there at once."}

    operations = [
        migrations.AddField(
            model_name="experiment",
            name="slug",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="What people and routes call it; made from the name where none is given, and never changed.",
                max_length=100,
                validators=[
                    django.core.validators.RegexValidator(
                        "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\\Z",
                        "Use letters, digits, dot, underscore and hyphen, beginning with a letter or digit, "
                        "at most 100.",
                    )
                ],
                verbose_name="key",
            ),
        ),
        migrations.AddField(
            model_name="experiment",
            name="allocation",
            field=models.JSONField(
                blank=True,
                help_text="[[start, end, variant], …] of 10,000 buckets. Empty: started before experiments owned "
                "their split, so the flag's allocation splits its users.",
                null=True,
                verbose_name="split",
            ),
        ),
        migrations.AddField(
            model_name="experiment",
            name="priority",
            field=models.IntegerField(
                blank=True, help_text="Its place among the flag's rules; empty is after all of them.", null=True
            ),
        ),
        migrations.AddField(
            model_name="experiment",
            name="shipped_to",
            field=models.CharField(
                blank=True,
                choices=[("everyone", "Everyone"), ("audience", "The audience")],
                db_default="",
                default="",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="experiment",
            name="decision",
            field=models.CharField(
                blank=True, choices=[("ship", "Ship a variant"), ("stop", "Stop")], max_length=4
            ),
        ),
        # Nothing to undo: the columns go.
        migrations.RunPython(give_keys_and_splits, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name="experiment",
            constraint=models.UniqueConstraint(
                condition=Q(("slug", ""), _negated=True), fields=("environment", "slug"), name="experiment_key_once"
            ),
        ),
    ]
