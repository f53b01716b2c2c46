"""The switch of the health page: all that plans and schedules of an organization do by themselves, stopped at once."""

from django.db import transaction

import audit.services
from audit.actors import Actor
from rollouts.models import RolloutStop
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
