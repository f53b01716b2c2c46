"""Keeps `Environment.is_guarded` true where a policy or a freeze may refuse a change, and false elsewhere."""

from collections.abc import Iterable

from django.db.models import Q
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
