"""What lifts the project's own ended experiments had: the prior that a new one may expect."""

from experiments.analysis.stored import results_of
from experiments.models import Experiment, ExperimentResult
from experiments.statistics.bayes import prior_sd_of_history
from experiments.statistics.distributions import normal_critical
from tenancy.models import Project


def own_prior(project: Project) -> tuple[float | None, int]:
    """The standard deviation of true lifts (None below five), and the number of comparisons that it comes from.

    Of each completed experiment the primary comparisons of its last stored result count.
    """
    rows = ExperimentResult.objects.filter(
        experiment__environment__project=project, experiment__status=Experiment.Status.COMPLETED
    )
    last = rows.order_by("experiment_id", "-until", "-computed_at").distinct("experiment_id")
    lifts, errors = [], []
    for row in last.select_related("experiment", "phase"):
        for item in results_of(row)["comparisons"]:
            lift, limits = item["relativeLift"], item["relativeCi"]
            if item["role"] == "primary" and lift is not None and limits is not None:
                lifts.append(lift)
                errors.append((limits[1] - limits[0]) / 2 / normal_critical(1 - item["ciLevel"]))
    return prior_sd_of_history(lifts, errors), len(lifts)
