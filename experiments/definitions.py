"""What a phase measures: its metrics as they were defined when it began, which the phase keeps for its analysis."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from experiments.models import Experiment, ExperimentMetric, Metric, Phase
from experiments.resources import (
    GuardrailDefinition,
    MetricResource,
    PhaseDefinitions,
    SecondaryDefinition,
)

# The columns of a metric by the API's names. All but the name decide what a figure means.
METRIC_COLUMNS: Final = {
    "name": "name",
    "type": "type",
    "eventName": "event_name",
    "denominatorEventName": "denominator_event_name",
    "valueProperty": "value_property",
    "quantile": "quantile",
    "goal": "goal",
    "windowHours": "window_hours",
    "cap": "cap",
}
_LABELS: Final = frozenset({"name", "version"})


@dataclass(frozen=True, slots=True)
class Plan:
    """What a phase measures. Its metrics and their uses are copies, stored in no row of their own."""

    primary: Metric
    secondary: tuple[ExperimentMetric, ...]
    guardrails: tuple[ExperimentMetric, ...]
    winsorize_percent: float | None
    minimum_effect: float | None = None

    @property
    def metrics(self) -> dict[str, Metric]:
        """Every metric once, by its key."""
        return {
            metric.key: metric
            for metric in [self.primary, *(use.metric for use in (*self.secondary, *self.guardrails))]
        }


def plan_of(experiment: Experiment, phase: Phase) -> Plan:
    """What the phase measures, from its own copy. A phase that an older release opened goes by the metrics of now."""
    kept: PhaseDefinitions = phase.definitions or definitions_of(experiment)
    return Plan(
        primary=metric_from(kept["primaryMetric"]),
        secondary=tuple(_secondary(item) for item in kept["secondaryMetrics"]),
        guardrails=tuple(_guardrail(item) for item in kept["guardrails"]),
        winsorize_percent=kept["winsorizePercent"],
        minimum_effect=kept.get("minimumEffect"),
    )


def definitions_of(experiment: Experiment) -> PhaseDefinitions:
    """The experiment's metrics as they are now, for a phase to keep."""
    uses = list(experiment.metrics.all())
    return {
        "primaryMetric": metric_resource(experiment.primary_metric),
        "secondaryMetrics": [
            {"metric": metric_resource(use.metric), "exploratorySince": _text(use.exploratory_since)}
            for use in uses
            if use.role == ExperimentMetric.Role.SECONDARY
        ],
        "guardrails": [
            {
                "metric": metric_resource(use.metric),
                "marginPercent": use.margin_percent,
                "action": use.action,
                "exploratorySince": _text(use.exploratory_since),
            }
            for use in uses
            if use.role == ExperimentMetric.Role.GUARDRAIL
        ],
        "winsorizePercent": experiment.winsorize_percent,
        "minimumEffect": experiment.minimum_effect,
    }


def metric_resource(metric: Metric) -> MetricResource:
    """The metric as the API answers it."""
    resource: MetricResource = {
        "key": metric.key,
        "name": metric.name,
        "type": metric.type,
        "eventName": metric.event_name,
        "goal": metric.goal,
        "windowHours": metric.window_hours,
        "cap": metric.cap,
        "version": metric.version,
    }
    if metric.denominator_event_name:
        resource["denominatorEventName"] = metric.denominator_event_name
    if metric.value_property:
        resource["valueProperty"] = metric.value_property
    if metric.quantile is not None:
        resource["quantile"] = metric.quantile
    return resource


def metric_from(resource: MetricResource) -> Metric:
    """An unsaved metric with the resource's definition."""
    values: Mapping[str, Any] = {**resource}
    columns = {column: values[name] for name, column in METRIC_COLUMNS.items() if name in values}
    return Metric(key=resource["key"], version=resource["version"], **columns)


def is_same_definition(one: MetricResource, other: MetricResource) -> bool:
    """Whether both count the same: their names and versions may differ."""
    return _meaning(one) == _meaning(other)


def definitions_in(kept: PhaseDefinitions) -> Iterable[MetricResource]:
    """Every metric's definition that a phase keeps."""
    yield kept["primaryMetric"]
    yield from (item["metric"] for item in kept["secondaryMetrics"])
    yield from (item["metric"] for item in kept["guardrails"])


def _meaning(resource: MetricResource) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name not in _LABELS}


def _secondary(item: SecondaryDefinition) -> ExperimentMetric:
    return ExperimentMetric(
        metric=metric_from(item["metric"]),
        role=ExperimentMetric.Role.SECONDARY,
        exploratory_since=_instant(item["exploratorySince"]),
    )


def _guardrail(item: GuardrailDefinition) -> ExperimentMetric:
    return ExperimentMetric(
        metric=metric_from(item["metric"]),
        role=ExperimentMetric.Role.GUARDRAIL,
        margin_percent=item["marginPercent"],
        action=item["action"],
        exploratory_since=_instant(item["exploratorySince"]),
    )


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
