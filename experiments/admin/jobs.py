"""The jobs page: each scheduled job of each experiment, with its last run, its duration and its next run."""

from django.http import HttpRequest, HttpResponse

from experiments.jobs.timetable import job_states
from tenancy.console_kit.context import console_context
from tenancy.console_kit.pages import console_page


def page(request: HttpRequest) -> HttpResponse:
    states = job_states(console_context(request).environments)
    return console_page(
        request,
        "experiments/jobs.html",
        title="Jobs",
        states=states,
        is_any_late=any(state.is_late for state in states),
    )
