"""Users on single targets of the flag: while they are, a person decides what they get and not the split."""

from analytics.selectors import stored_ids
from experiments.analysis.provenance import flag_steps
from experiments.analysis.window import Window
from experiments.models import Experiment


def targeted_units(experiment: Experiment, window: Window) -> tuple[str, ...]:
    """The units, by their stored ids, that were on a target between the phase's start and the window's end.

    Targets name users, so there are none where the phase buckets by something else.
    """
    phase = window.phase
    if phase.bucket_by != "userId":
        return ()
    steps = flag_steps(experiment, window)
    opening = steps.filter(version__lte=phase.config_version).order_by("-version").first()
    found = steps.filter(version__gte=phase.config_version if opening is None else opening.version)
    lists = found.values_list("document__targets", flat=True)
    users = {user_id for targets in lists for target in targets or [] for user_id in target.get("userIds", [])}
    return tuple(stored_ids(experiment.environment_id, sorted(users)))
