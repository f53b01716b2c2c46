"""What waits for the end of a freeze, and is looked at anew once the freeze was changed or deleted."""

from collections.abc import Collection

from rollouts.clock import database_now
from rollouts.models import RolloutPlan, ScheduledChange


def wake_frozen(environments: Collection[int]) -> None:
    """Have workers look now; what a freeze still holds waits again."""
    now = database_now()
    plans = RolloutPlan.objects.filter(environment__in=environments, state=RolloutPlan.State.RUNNING)
    plans.filter(waits_for="freeze").update(due_at=now)
    changes = ScheduledChange.objects.filter(environment__in=environments, state=ScheduledChange.State.WAITING)
    # Those whose time has come say why they wait past it.
    changes.exclude(reason="").update(due_at=now)
