"""The part of a plan's page that counts the users who were exposed on its step. It is asked for after the page."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from flags.admin.reach import counted_in_time
from rollouts.executor.evidence import users_exposed
from rollouts.models import RolloutPlan

_State = RolloutPlan.State
# Of all flags of the plan.
_SECONDS = 2.0


def users_part(request: HttpRequest, plan: RolloutPlan) -> HttpResponse:
    """Count them from the step's begin, up to now or until the plan was stopped for good."""
    is_over = plan.state in {_State.ROLLED_BACK, _State.CANCELLED}
    until = ((plan.stopped_at or plan.finished_at) if is_over else None) or timezone.now()
    since, parts = plan.written_at or until, list(plan.parts.all())
    counted = counted_in_time(
        lambda: [users_exposed(part, since, until, seconds=_SECONDS / len(parts)) for part in parts]
    )
    rows = [
        {"part": part, "treated": treated, "rest": rest}
        for part, (treated, rest) in zip(parts, counted or (), strict=False)
    ]
    shown = {"plan": plan, "since": since, "until": until if is_over else None, "rows": rows, "asked": _asked(plan)}
    return render(request, "rollouts/plan_users.html", shown)


def _asked(plan: RolloutPlan) -> int:
    """How many the next step waits for."""
    is_at_work = plan.state in {_State.RUNNING, _State.HELD} and plan.current_step < len(plan.steps)
    return plan.steps[plan.current_step].get("minimumUsers", 0) if is_at_work else 0
