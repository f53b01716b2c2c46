"""One person's data: exported, or erased everywhere but in the audit log, which has none of it."""

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import msgspec
from django.conf import settings
from django.db import transaction

import audit.services
from analytics.enrichment.enrichment import pseudonym
from analytics.event_records import unpack
from analytics.models import DeadLetter, EventPolicy
from analytics.stores import store
from analytics.stores.base import Erased, Unit
from audit.actors import Actor
from tenancy.models import Environment, Organization


def forget_user(*, actor: Actor, organization: Organization, user_id: str) -> Erased:
    """Erase a user's events in every environment of the organization, with all that was derived from them.

    Dead letters go too. The audit row says that it was done and how much it was, with a keyed hash in place of the id.
    A person who knows the id can find the row; nobody can read the id from it.
    """
    environments = list(Environment.objects.filter(project__organization=organization))
    found = units_of(environments, user_id)
    with transaction.atomic():
        erased = store().erase_units(found)
        letters = _erase_dead_letters([environment.pk for environment in environments], user_id)
        audit.services.record(
            actor=actor,
            action="user.forgotten",
            at=organization,
            key=trace_of(user_id),
            after={**asdict(erased), "deadLetters": letters},
        )
    return erased


def export_user(*, actor: Actor, organization: Organization, user_id: str) -> Iterator[dict[str, Any]]:
    """Yield everything that is stored about a user, and record the export."""
    environments = list(Environment.objects.filter(project__organization=organization))
    with transaction.atomic():
        audit.services.record(
            actor=actor,
            action="user.exported",
            at=organization,
            key=trace_of(user_id),
        )
    return store().raw_events(units_of(environments, user_id))


def units_of(environments: Sequence[Environment], user_id: str) -> list[Unit]:
    """Return the ids under which a user is stored, one for each environment."""
    policies = EventPolicy.objects.filter(environment__in=environments, pseudonym_key__isnull=False)
    keys = {policy.environment_id: bytes(policy.pseudonym_key or b"") for policy in policies}
    return [
        Unit(environment.pk, pseudonym(keys[environment.pk], user_id) if environment.pk in keys else user_id)
        for environment in environments
    ]


def trace_of(user_id: str) -> str:
    return hmac.new(settings.SECRET_KEY.encode(), b"forgotten:" + user_id.encode(), hashlib.sha256).hexdigest()


def _erase_dead_letters(environment_ids: Sequence[int], user_id: str) -> int:
    """Erase the user's dead letters. They have events as they came, before ids became pseudonyms."""
    found = []
    for letter in DeadLetter.objects.filter(environment_id__in=environment_ids).iterator():
        try:
            batch = unpack(bytes(letter.payload))
        except msgspec.DecodeError:
            continue  # The letter names no unit that can be read.
        if user_id in {event.unit_id for event in batch.exposures} | {event.unit_id for event in batch.conversions}:
            found.append(letter.pk)
    return DeadLetter.objects.filter(pk__in=found).delete()[0]
