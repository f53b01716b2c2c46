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

# The next times of each thing, the rows of both lists, and what waits for something else.
_MOST_TIMES = 5
_MOST_ROWS = 500
_MOST_WAITING = 100


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
    waiting = plans(environment).filter(
        state__in=[RolloutPlan.State.RUNNING, RolloutPlan.State.HELD], next_step_at__isnull=True
    )
    return console_page(
        request,
        "rollouts/calendar.html",
        title=f"What is to come in {environment}",
        place=environment,
        coming=coming,
        held=held[:_MOST_WAITING],
        waiting=waiting[:_MOST_WAITING],
        stopped=stopped_in(environment.project.organization),
        may_edit=may_edit(request),
    )


def _coming(environment: Environment) -> Iterator[Coming]:
    # Whatever comes first is of those whose own next time is among the first.
    running = plans(environment).filter(state=RolloutPlan.State.RUNNING, next_step_at__isnull=False)
    for plan in running.order_by("next_step_at")[:_MOST_ROWS]:
        steps = to_come(plan, most=_MOST_TIMES)
        for at, percent in steps:
            yield Coming(at, f"{plan}: {percent:g} %", object_url(plan), "rollout step")
        if not steps and plan.next_step_at is not None:
            percent = float(plan.steps[plan.current_step]["percent"])
            what = f"{plan}: {percent:g} %, if its conditions hold"
            yield Coming(max(plan.next_step_at, timezone.now()), what, object_url(plan), "rollout step")
    waiting = scheduled(environment).filter(state=ScheduledChange.State.WAITING)
    for change in waiting.order_by("due_at")[:_MOST_ROWS]:
        due_at = change.due_at
        for _ in range(_MOST_TIMES if change.cron else 1):
            if due_at is None:
                break
            yield Coming(max(due_at, timezone.now()), str(change), object_url(change), "change")
            due_at = next_due(change.cron, change.zone, due_at) if change.cron else None
