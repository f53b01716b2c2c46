"""Whether what is counted arrives at all: events under a metric's names, and events of the experiment's units."""

from collections.abc import Iterable

from analytics import selectors as events
from experiments.analysis.arms import Measure
from experiments.analysis.metric_types import metric_type
from experiments.analysis.window_data import WindowData
from experiments.models import Metric


def missing_events(environment_id: int, metrics: Iterable[Metric]) -> list[str]:
    """A sentence for each event name that a metric counts and that never arrived."""
    counted: dict[str, str] = {}
    for metric in metrics:
        for name in (metric.event_name, metric.denominator_event_name):
            if name:
                counted.setdefault(name, metric.key)
    arrived = events.last_conversions(environment_id, list(counted))
    return [
        f"No event called {name!r} has arrived here, which the metric {key!r} counts: send it under this name, or "
        "change the metric."
        for name, key in counted.items()
        if name not in arrived
    ]


def without_unit(bucket_by: str) -> str:
    """What to do where events do not say whose unit they are."""
    return f"send the value of {bucket_by} as their userId, or as {bucket_by!r} in their properties."


def arrival_caveats(data: WindowData, measure: Measure) -> list[str]:
    """For results: names under which nothing arrived, and the primary metric's events if none is of an exposed unit."""
    caveats = missing_events(data.experiment.environment_id, data.plan.metrics.values())
    unit, metric = data.window.phase.bucket_by, measure.metric
    if caveats or unit == "userId" or not any(arm.users for arm in measure.arms.values()):
        return caveats
    if any(metric_type(metric).conversions(data, list(measure.arms), data.window.until).values()):
        return caveats
    last = events.last_conversions(data.experiment.environment_id, [metric.event_name])[metric.event_name]
    if last < data.window.since.date():
        return caveats
    return [
        f"Events {metric.event_name!r} arrive, and none is of a unit that was exposed. This experiment is by {unit}: "
        f"{without_unit(unit)}"
    ]
