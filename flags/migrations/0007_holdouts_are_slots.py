"""A layer's holdout is a slot of no experiment: what keeps slots apart keeps experiments out of it."""

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps
from psycopg.types.range import Range

BUCKETS = 10_000


def reserve(apps: StateApps, _schema_editor: BaseDatabaseSchemaEditor) -> None:
    slot = apps.get_model("flags", "LayerSlot")
    for layer in apps.get_model("flags", "Layer").objects.filter(holdout_buckets__gt=0):
        slot.objects.create(layer=layer, experiment_id=None, buckets=Range(BUCKETS - layer.holdout_buckets, BUCKETS))


def release(apps: StateApps, _schema_editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("flags", "LayerSlot").objects.filter(experiment_id__isnull=True).delete()


class Migration(migrations.Migration):
    safe_because = {"AddConstraint layer_holdout_once": "A table of a few thousand rows: the lock lasts milliseconds."}
    dependencies = [("flags", "0006_log_floor")]

    operations = [
        migrations.AlterField(
            model_name="layerslot",
            name="experiment_id",
            field=models.UUIDField(blank=True, db_index=True, help_text="Nobody's is the layer's holdout.", null=True),
        ),
        migrations.RunPython(reserve, release),
        migrations.AddConstraint(
            model_name="layerslot",
            constraint=models.UniqueConstraint(
                condition=models.Q(("experiment_id__isnull", True)), fields=("layer",), name="layer_holdout_once"
            ),
        ),
    ]
