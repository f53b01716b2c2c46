"""Keeps `Environment.is_guarded` true where a policy or a freeze may refuse a change, and false elsewhere."""

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from approvals.models import Freeze, Policy
from approvals.selectors import freezes_over
from flags.services import version_log
from tenancy.models import Environment, Organization, Project


def mark_guarded(environment_ids: Iterable[int]) -> None:
    """Lock the environments, so that no write of theirs is between two policies, and set the mark of each."""
    for environment in version_log.lock(environment_ids).values():
        policy = Policy.objects.filter(environment=environment).first()
        is_guarded = (policy is not None and policy.is_asking) or _may_freeze(environment)
        if is_guarded != environment.is_guarded:
            Environment.objects.filter(pk=environment.pk).update(is_guarded=is_guarded)


def unmark_ended(now: datetime) -> None:
    """Take the mark from environments in which no policy asks, and whose freezes have ended by the clock."""
    holding = Freeze.objects.filter(Q(until__isnull=True) | Q(until__gt=now))
    frozen = [
        holding.filter(environment=OuterRef("pk")),
        holding.filter(project=OuterRef("project"), environment__isnull=True),
        holding.filter(organization=OuterRef("project__organization"), project__isnull=True),
    ]
    asking = Policy.objects.filter(environment=OuterRef("pk")).exclude(required_approvals=0, checks=[])
    found = Environment.objects.filter(is_guarded=True)
    for reason in (*frozen, asking):
        found = found.exclude(Exists(reason))
    ended = list(found.values_list("pk", flat=True))
    if ended:
        with transaction.atomic():
            mark_guarded(ended)


def _may_freeze(environment: Environment) -> bool:
    return freezes_over(environment).filter(Q(until__isnull=True) | Q(until__gt=timezone.now())).exists()


def reach_of(freeze: Freeze) -> list[int]:
    """Return the ids of the environments that a freeze reaches."""
    return environments_in(freeze.environment or freeze.project or freeze.organization)


def environments_in(place: Environment | Project | Organization) -> list[int]:
    if isinstance(place, Environment):
        return [place.pk]
    named = {"project": place} if isinstance(place, Project) else {"project__organization": place}
    return list(Environment.objects.filter(**named).values_list("pk", flat=True))
