"""What is done to metrics and experiments."""

from typing import TypedDict

from audit.actions import Action, Document, register


class FreedLayer(TypedDict):
    layer: str


class RaisedAlarm(TypedDict):
    """`kind` is what was found, `subject` the metric it concerns, `action` what was done about it."""

    kind: str
    subject: str
    action: str
    detail: str
    phase: int


class FailedJob(TypedDict):
    job: str
    why: str


_METRIC = Document("Metric")
_EXPERIMENT = Document("Experiment", names=("flag",))

register(
    Action("metric.created", "Metric created", "a metric was made", _METRIC),
    Action("metric.updated", "Metric changed", "a metric changed", _METRIC),
    Action("metric.deleted", "Metric deleted", "an unused metric was deleted", _METRIC),
    Action("experiment.created", "Experiment created", "a draft was made", _EXPERIMENT),
    Action("experiment.updated", "Experiment changed", "an experiment changed", _EXPERIMENT),
    Action("experiment.deleted", "Experiment deleted", "a draft was deleted", _EXPERIMENT),
    Action("experiment.started", "Experiment started", "it runs; by the system where a date did it", _EXPERIMENT),
    Action(
        "experiment.paused",
        "Experiment paused",
        "users first seen from now on are not analysed; by the system where an alarm did it",
        _EXPERIMENT,
        tone="warning",
    ),
    Action("experiment.resumed", "Experiment resumed", "a paused experiment runs again", _EXPERIMENT),
    Action(
        "experiment.restarted",
        "Experiment restarted",
        "a new phase began with a new salt: everybody is assigned anew",
        _EXPERIMENT,
    ),
    Action(
        "experiment.phase_opened",
        "Experiment phase opened",
        "the flag's split, rules, prerequisites or audience changed, so a new phase began; everybody keeps the variant",
        _EXPERIMENT,
    ),
    Action(
        "experiment.completed",
        "Experiment completed",
        "the decision with its `evidence`: a variant was shipped to everyone or to the audience, or it was stopped",
        _EXPERIMENT,
    ),
    Action(
        "experiment.layer_freed",
        "Layer buckets freed",
        "a completed experiment's buckets went back to its layer after 7 days",
        FreedLayer,
    ),
    Action(
        "experiment.alarmed",
        "Experiment alarm",
        "a job found a sample ratio mismatch or a harmful guardrail, and did what was configured",
        RaisedAlarm,
        tone="danger",
        remedy="Open the experiment's results. Trust none of them after a sample ratio mismatch; after a guardrail's "
        "alarm, decide whether to pause it.",
    ),
    Action(
        "job.failed",
        "Job failed",
        "a scheduled job on an experiment failed, after a run that went well; further failures in a row leave no row",
        FailedJob,
        entity="experiment",
        tone="danger",
        remedy="The page Jobs and the worker's log say more. Until it runs again, results stay as they are.",
    ),
)
