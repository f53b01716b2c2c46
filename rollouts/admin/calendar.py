"""What is to come in an environment: the steps of plans and the scheduled changes, in the order of their time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from rollouts.admin.plan_charts import to_come
from rollouts.models import RolloutPlan, ScheduledChange
from rollouts.planning.recurrence import next_due
from rollouts.selectors import plans, scheduled, stopped_in
from tenancy.console_kit.environments import may_edit
from tenancy.console_kit.pages import console_page, object_url
from tenancy.models import Environment

_MOST_TIMES = 5
_MOST_ROWS = 500


@dataclass(frozen=True, slots=True)
class Coming:
    """One thing to come."""

    at: datetime
    what: str
    url: str
    kind: str


def calendar_page(request: HttpRequest, environment: Environment) -> HttpResponse:
    coming = sorted(_coming(environment), key=lambda each: each.at)[:_MOST_ROWS]
    held = scheduled(environment).filter(state=ScheduledChange.State.HELD)
    waiting = plans(environment).filter(state__in=[RolloutPlan.State.RUNNING, RolloutPlan.State.HELD])
    return console_page(
        request,
        "rollouts/calendar.html",
        title=f"What is to come in {environment}",
        place=environment,
        coming=coming,
        held=held[:100],
        waiting=[plan for plan in waiting if plan.next_step_at is None],
        stopped=stopped_in(environment.project.organization),
        may_edit=may_edit(request),
    )


def _coming(environment: Environment) -> Iterator[Coming]:
    for plan in plans(environment).filter(state=RolloutPlan.State.RUNNING):
        for at, percent in to_come(plan):
            yield Coming(at, f"{plan}: {percent:g} %", object_url(plan), "rollout step")
    for change in scheduled(environment).filter(state=ScheduledChange.State.WAITING):
        due_at = change.due_at
        for _ in range(_MOST_TIMES if change.cron else 1):
            if due_at is None:
                break
            yield Coming(max(due_at, timezone.now()), str(change), object_url(change), "change")
            due_at = next_due(change.cron, change.zone, due_at) if change.cron else None
