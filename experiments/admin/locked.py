"""What is fixed once an experiment has started, with the reason of each."""

from experiments.models import Experiment
from flags.documents import percent_of


def locked(experiment: Experiment) -> list[tuple[str, str, str]]:
    """`(what, as it is, why)` of all that is fixed once an experiment has started."""
    split = ", ".join(f"{key} {percent_of(weight)} %" for key, weight in _weights(experiment).items())
    uses = list(experiment.metrics.all())
    of_role = {
        role: ", ".join(
            f"{use.metric.name} (margin {use.margin_percent} %, then {use.get_action_display().lower()})"
            if use.margin_percent
            else use.metric.name
            for use in uses
            if use.role == role
        )
        for role in {use.role for use in uses}
    }
    counted = "Metrics chosen after a look at the figures would be chosen by them."
    enrolled = "Those enrolled so far came by it. A restart deals everybody anew, as a phase of its own."
    counted_so = "What counts for a user, chosen after a look at the figures, would be chosen by them."
    judged = "The error rate is promised for the plan made before the first look."
    return [
        ("Flag", experiment.config.flag.key, "The experiment is about it. Create another one."),
        ("Control", experiment.control_variant, "Every comparison is with it."),
        ("Split", split, enrolled),
        ("Audience", "limited" if experiment.audience else "everybody", enrolled),
        ("Layer", experiment.layer.name if experiment.layer else "its own", enrolled),
        ("Primary metric", experiment.primary_metric.name, counted),
        ("Secondary metrics", of_role.get("secondary", "none"), counted),
        ("Guardrails", of_role.get("guardrail", "none"), counted),
        ("Method", f"{experiment.get_method_display()}, error rate {experiment.alpha:g}", judged),
        ("Correction", experiment.get_correction_display(), judged),
        ("Most extreme users", capping(experiment), counted_so),
        ("Adjusted for what users did before", "yes (CUPED)" if experiment.is_cuped else "no", counted_so),
    ]


def capping(experiment: Experiment) -> str:
    share = experiment.winsorize_percent
    if share is None:
        return "count in full"
    return f"the top {share:g} % of those who have any count as much as the next below them"


def _weights(experiment: Experiment) -> dict[str, int]:
    phases = list(experiment.phases.all())
    return dict(phases[-1].weights) if phases else {}
