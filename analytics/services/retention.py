"""Deletes raw events after their time. The counts of them stay."""

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

import audit.services
from analytics.models import EventPolicy
from analytics.stores import store
from analytics.stores.base import Dropped
from audit.actors import Actor
from tenancy.models import Environment


def apply_retention(*, actor: Actor, dry_run: bool = False) -> list[Dropped]:
    """Delete what is older than each environment keeps, and return what that was; with `dry_run`, what it would be."""
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    policies = {policy.environment_id: policy for policy in EventPolicy.objects.all()}
    kept_days = {environment_id: policy.retention_days for environment_id, policy in policies.items()}
    environments = Environment.objects.values_list("pk", flat=True)
    cuts = {
        environment_id: today - timedelta(days=kept_days.get(environment_id) or settings.RAW_EVENT_RETENTION_DAYS)
        for environment_id in environments
    }
    if dry_run:
        return list(store().drop_before(cuts, dry_run=True))
    # What is deleted is counted first. The rest is counted last: after an upgrade that may take hours, and old events
    # are deleted all the same.
    store().aggregate_flags(until=max(cuts.values(), default=today))
    # From here on, nobody computes anything anew from events that are half deleted. A longer retention brings none
    # back.
    for environment_id, cut in cuts.items():
        former = policies[environment_id].raw_since if environment_id in policies else None
        EventPolicy.objects.update_or_create(
            environment_id=environment_id, defaults={"raw_since": max(cut, former or cut)}
        )
    dropped = list(store().drop_before(cuts, dry_run=False))
    # While raw events exist, their hours stay apart. Erasure and bots found later subtract single events from them.
    latest = today - timedelta(days=settings.RAW_EVENT_RETENTION_DAYS)
    store().merge_hours({environment_id: min(cut, latest) for environment_id, cut in cuts.items()})
    if dropped:
        with transaction.atomic():
            audit.services.record(
                actor=actor,
                action="events.retention_applied",
                at=None,
                key="raw",
                after={"dropped": [str(step) for step in dropped]},
            )
    store().aggregate_flags()
    return dropped
