"""What keeps plans and schedules from doing anything by themselves: the switch of the health page, and freezes."""

from collections.abc import Collection

from django.db import transaction

import audit.services
from audit.actors import Actor
from rollouts.clock import database_now
from rollouts.models import RolloutPlan, RolloutStop, ScheduledChange
from tenancy.models import Organization


@transaction.atomic
def stop_automatic(*, actor: Actor, organization: Organization, reason: str = "") -> None:
    """Take no step and publish no change until it is switched on again. People may act all the same."""
    _, is_new = RolloutStop.objects.get_or_create(
        organization=organization, defaults={"reason": reason, "stopped_by": actor.label}
    )
    if is_new:
        _record(actor, organization, reason, is_stopped=True)


@transaction.atomic
def resume_automatic(*, actor: Actor, organization: Organization, reason: str = "") -> None:
    """Go on: each plan goes to the step that is due now, in one write."""
    if RolloutStop.objects.filter(organization=organization).delete()[0]:
        _record(actor, organization, reason, is_stopped=False)


def _record(actor: Actor, organization: Organization, reason: str, *, is_stopped: bool) -> None:
    audit.services.record(
        actor=actor,
        action="organization.rollouts_switched",
        at=organization,
        key=organization.slug,
        before={"isStopped": not is_stopped},
        after={"isStopped": is_stopped},
        reason=reason,
    )


def wake_frozen(environments: Collection[int]) -> None:
    """Have workers look now at what waited for the end of a freeze, which was changed or deleted.

    What a freeze still holds waits again.
    """
    now = database_now()
    plans = RolloutPlan.objects.filter(environment__in=environments, state=RolloutPlan.State.RUNNING)
    plans.filter(waits_for="freeze").update(due_at=now)
    changes = ScheduledChange.objects.filter(environment__in=environments, state=ScheduledChange.State.WAITING)
    # Those whose time has come say why they wait past it.
    changes.exclude(reason="").update(due_at=now)
