"""A phase has one final result. Rows from before get digests that hold after the round trip through PostgreSQL."""

import hashlib
import json
from datetime import datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

_INSTANTS = (("window", "since"), ("window", "until"), ("window", "asOf"), ("experiment", "startedAt"))
_MAY_CHANGE_LATER = frozenset({"name", "hypothesis", "status", "endedAt"})


def mark(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """The first row of a phase that calls itself frozen is the final one."""
    results = apps.get_model("experiments", "ExperimentResult").objects
    seen: set[int] = set()
    for row in results.select_related("phase").order_by("computed_at").iterator(chunk_size=200):
        digest = _digest(row.payload)
        if digest is None:
            # No result in the shape of one: reading it says that it was changed.
            continue
        phase = row.phase
        is_whole = row.since == phase.started_at and row.until == phase.ended_at
        is_final = bool(is_whole and row.payload["window"]["frozen"] and phase.pk not in seen)
        seen |= {phase.pk} if is_final else set()
        if is_final or digest != row.digest:
            results.filter(pk=row.pk).update(digest=digest, is_final=is_final)


def _digest(payload: Any) -> str | None:
    try:
        found = json.loads(json.dumps(payload))
        for part, name in _INSTANTS:
            text = found[part][name]
            found[part][name] = None if text is None else datetime.fromisoformat(text)
        watermark = found["watermark"]
        found["watermark"] = None if watermark is None else datetime.fromisoformat(watermark)
        header = {name: value for name, value in found["experiment"].items() if name not in _MAY_CHANGE_LATER}
        whole = {**found, "experiment": header}
        text = json.dumps(whole, sort_keys=True, separators=(",", ":"), cls=DjangoJSONEncoder)
        found["window"]["frozen"]
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return hashlib.sha256(text.encode()).hexdigest()


class Migration(migrations.Migration):
    safe_because = {
        "AddConstraint result_final_once": "A table of a few thousand rows: the lock lasts milliseconds.",
    }
    dependencies = [("experiments", "0011_own_split")]
    operations = [
        migrations.AddField(
            model_name="experimentresult",
            name="is_final",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="Of a whole phase, once nothing that counts can arrive any more.",
            ),
        ),
        migrations.RunPython(mark, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name="experimentresult",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_final", True)), fields=("phase",), name="result_final_once"
            ),
        ),
    ]
