"""Background work of rollouts. The schedule wakes it every ten seconds; the rows say what is due."""

from celery import shared_task
from django.db.models import Avg, Count, F, FloatField, Func, IntegerField, Min
from django.utils import timezone

from rollouts.executor import plans, schedules
from rollouts.models import RolloutPlan
from rollouts.prometheus import ROLLOUT_PROGRESS, ROLLOUT_STEPS, ROLLOUTS, ROLLOUTS_LATE, ROLLOUTS_NEXT_DUE


@shared_task(name="rollouts.work")
def work() -> int:
    """Take the steps and publish the changes that are due."""
    looked = 0
    try:
        looked = plans.run()
    finally:
        # What keeps plans from their steps keeps no change from its time.
        looked += schedules.run()
        ROLLOUT_STEPS.inc(looked)
        _measure()
    return looked


def _measure() -> None:
    counts = dict(RolloutPlan.objects.values_list("state").annotate(count=Count("pk")))
    for state in RolloutPlan.State.values:
        ROLLOUTS.labels(state).set(counts.get(state, 0))
    running = RolloutPlan.objects.filter(state=RolloutPlan.State.RUNNING)
    taken = F("current_step") * 1.0 / Func("steps", function="jsonb_array_length", output_field=IntegerField())
    found = running.aggregate(first=Min("due_at"), progress=Avg(taken, output_field=FloatField()))
    due_at = found["first"]
    now = timezone.now()
    ROLLOUTS_NEXT_DUE.set(due_at.timestamp() if due_at else 0)
    ROLLOUTS_LATE.set(max(0.0, (now - due_at).total_seconds()) if due_at else 0)
    ROLLOUT_PROGRESS.set(1 if found["progress"] is None else found["progress"])
