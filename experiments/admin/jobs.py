"""The jobs' page: for each experiment what the clock last did about it, how long that took, and when it comes again."""

from typing import TYPE_CHECKING

from django.http import HttpRequest, HttpResponse

from experiments.schedule import job_states
from tenancy.admin import visit

if TYPE_CHECKING:
    from experiments.admin.experiments import ExperimentAdmin


def page(model_admin: "ExperimentAdmin", request: HttpRequest) -> HttpResponse:
    states = job_states(visit(request).environments)
    return model_admin.page(
        request,
        "experiments/jobs.html",
        title="Jobs",
        states=states,
        is_any_late=any(state.is_late for state in states),
    )
