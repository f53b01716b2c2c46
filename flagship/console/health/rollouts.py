"""The health page's line on rollout plans and schedules, with the switch that stops them."""

from django.conf import settings
from django.db.models import Count, Min
from django.utils import timezone

from flagship.console.health.line import Line
from rollouts.models import RolloutPlan
from rollouts.selectors import stopped_in
from tenancy.console_kit.formats import duration
from tenancy.console_kit.pages import in_environment
from tenancy.models import Environment

# The worker is woken every ten seconds.
_LATE_SECONDS = 60


def rollouts_line(environment: Environment) -> Line:
    stopped = stopped_in(environment.project.organization)
    running = RolloutPlan.objects.filter(environment=environment, state=RolloutPlan.State.RUNNING)
    found = running.aggregate(first=Min("due_at"), count=Count("pk"))
    due_at = found["first"]
    late = (timezone.now() - due_at).total_seconds() if due_at else 0.0
    value, tone = "on", "good"
    note = f"{found['count']:,} plans are running here"
    if stopped or not settings.ROLLOUTS_ENABLED:
        value, tone = "stopped", "warn"
        note = f"by {stopped.stopped_by}: {stopped.reason}" if stopped else "by the setting ROLLOUTS_ENABLED"
    elif late > _LATE_SECONDS:
        value, tone, note = f"{duration(1000 * late)} late", "bad", "a step is due, and nobody takes it"
    return Line(
        "rollouts",
        "Rollout plans and schedules",
        value,
        note,
        tone,
        "A worker looks every ten seconds at what is due, and takes each plan to its step in one write.",
        "Where steps are late, beat or the worker has stopped. The switch stops all automatic progress at once; "
        "nobody's variant changes, and people may go on by hand.",
        in_environment("admin:rollouts_rolloutplan_switch", environment),
        "Go on" if stopped else "Stop all of it",
    )
