"""What is fixed once an experiment has started, with the reason of each."""

from typing import NamedTuple

from experiments.documents import split_of
from experiments.models import Experiment, ExperimentMetric
from flags.admin.flag.sentences import describe_tree
from flags.documents import percent_of

_ANOTHER = "The experiment is about it. Create another one."
_BASELINE = "Every comparison is with it."
_ENROLLED = "It enrolled the users so far. A restart assigns everybody anew, as a phase of its own."
_CHOSEN_LATE = "Metrics chosen after a look at the figures would be chosen by them."
_EXPLORED = f"{_CHOSEN_LATE} Further ones are exploratory: they decide nothing."
_COUNTED_LATE = "What counts for a user, chosen after a look at the figures, would be chosen by them."
_PROMISED = "The error rate is promised for the plan made before the first look."


class LockedField(NamedTuple):
    what: str
    value: str
    why: str


def locked(experiment: Experiment) -> list[LockedField]:
    split = ", ".join(f"{key} {percent} %" for key, percent in split_shown(experiment))
    method = f"{experiment.get_method_display()}, error rate {experiment.alpha:g}"
    uses = list(experiment.metrics.all())
    secondary = [use.metric.name for use in uses if use.role == ExperimentMetric.Role.SECONDARY]
    guardrails = [
        f"{use.metric.name} (margin {use.margin_percent} %, then {use.get_action_display().lower()})"
        for use in uses
        if use.role == ExperimentMetric.Role.GUARDRAIL
    ]
    return [
        LockedField("Flag", experiment.config.flag.key, _ANOTHER),
        LockedField("Control", experiment.control_variant, _BASELINE),
        LockedField("Split", split, _ENROLLED),
        LockedField("Place among the rules", place_of(experiment), _ENROLLED),
        LockedField("Audience", describe_tree(experiment.audience) if experiment.audience else "everybody", _ENROLLED),
        LockedField("Layer", experiment.layer.name if experiment.layer else "its own", _ENROLLED),
        LockedField("Primary metric", experiment.primary_metric.name, _CHOSEN_LATE),
        LockedField("Secondary metrics", ", ".join(secondary) or "none", _EXPLORED),
        LockedField("Guardrails", ", ".join(guardrails) or "none", _EXPLORED),
        LockedField("Method", method, _PROMISED),
        LockedField("Correction", experiment.get_correction_display(), _PROMISED),
        LockedField("Most extreme users", capping(experiment), _COUNTED_LATE),
        LockedField(
            "Adjusted for what users did before", "yes (CUPED)" if experiment.is_cuped else "no", _COUNTED_LATE
        ),
    ]


def place_of(experiment: Experiment) -> str:
    return "after all of them" if experiment.priority is None else f"priority {experiment.priority}"


def capping(experiment: Experiment) -> str:
    share = experiment.winsorize_percent
    if share is None:
        return "count in full"
    return f"the top {share:g} % of those who have any count as much as the next below them"


def split_shown(experiment: Experiment) -> list[tuple[str, int | float]]:
    """Return `(variant, percent)` of the last phase, or what a start would begin with."""
    phases = list(experiment.phases.all())
    weights = phases[-1].weights if phases else split_of(experiment)
    return [(key, percent_of(weight)) for key, weight in weights.items()]
