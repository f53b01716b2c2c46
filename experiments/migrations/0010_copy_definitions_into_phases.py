"""Phases that have begun get a copy of their metrics' definitions as they are now; the first ones, why they began."""

from typing import Any

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

_ALWAYS = {
    "key": "key",
    "name": "name",
    "type": "type",
    "eventName": "event_name",
    "goal": "goal",
    "windowHours": "window_hours",
    "cap": "cap",
    "version": "version",
}
_WHERE_GIVEN = {
    "denominatorEventName": "denominator_event_name",
    "valueProperty": "value_property",
    "quantile": "quantile",
}


def copy(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Row by row, each on its own: a phase that is opened meanwhile has its copy already, and is passed over."""
    phases = apps.get_model("experiments", "Phase").objects
    found = phases.filter(definitions__isnull=True).select_related("experiment__primary_metric")
    for phase in found.prefetch_related("experiment__metrics__metric").iterator(chunk_size=500):
        reason = "The experiment started." if phase.number == 1 else ""
        waiting = phases.filter(pk=phase.pk, definitions__isnull=True)
        waiting.update(definitions=_definitions(phase.experiment), reason=reason)


def _definitions(experiment: Any) -> dict[str, Any]:
    uses = sorted(experiment.metrics.all(), key=lambda use: use.position)
    return {
        "primaryMetric": _metric(experiment.primary_metric),
        "secondaryMetrics": [
            {"metric": _metric(use.metric), "exploratorySince": None} for use in uses if use.role == "secondary"
        ],
        "guardrails": [
            {
                "metric": _metric(use.metric),
                "marginPercent": use.margin_percent,
                "action": use.action,
                "exploratorySince": None,
            }
            for use in uses
            if use.role == "guardrail"
        ],
        "winsorizePercent": experiment.winsorize_percent,
    }


def _metric(metric: Any) -> dict[str, Any]:
    found = {name: getattr(metric, column) for name, column in _ALWAYS.items()}
    further = {name: getattr(metric, column) for name, column in _WHERE_GIVEN.items()}
    return found | {name: value for name, value in further.items() if value not in ("", None)}


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("experiments", "0009_phase_definitions")]
    operations = [migrations.RunPython(copy, migrations.RunPython.noop)]
