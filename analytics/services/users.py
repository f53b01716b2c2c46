"""One person's events: exported or erased, by the command, and as a place of privacy jobs (`tenancy.privacy`)."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import msgspec
from django.db import transaction

import audit.services
from analytics.enrichment.enrichment import pseudonym
from analytics.event_records import Batch, unpack
from analytics.models import DeadLetter, EventPolicy
from analytics.pipeline.brokers import broker
from analytics.pipeline.brokers.base import BrokerAwayError
from analytics.stores import store
from analytics.stores.base import Erased, Unit
from audit.actors import Actor
from tenancy.errors import Conflict
from tenancy.models import Environment, Organization
from tenancy.privacy.people import Found, Person, trace_of

_POLL_SECONDS = 0.5
_WAIT_SECONDS = 60.0
_NOT_SEARCHED = (
    "What services send in the properties of other units' events is not searched. It goes with those events, when "
    "their retention is over."
)
_ANY_KIND = "Events do not say of which kind their unit is. Those of every unit with this id are meant."


def forget_user(*, actor: Actor, organization: Organization, user_id: str) -> Erased:
    """Erase a user's events in every environment of the organization, with all that was derived from them.

    It does not look into flags, segments and history: a privacy job does (`tenancy.privacy`). Dead letters go
    too. The audit row says that it was done and how much it was, with a keyed hash in place of the id. A person who
    knows the id can find the row; nobody can read the id from it.
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


def wait_until_stored(seconds: float) -> None:
    """Wait until the batches in the broker are stored: they would be stored after an erasure. Raises Conflict."""
    asked = time.time()
    try:
        while time.time() - broker().lag_seconds() < asked:
            if time.time() > asked + seconds:
                raise Conflict(
                    "Events of before are still not stored; start an ingest process and try again.",
                    code="events_waiting",
                )
            time.sleep(_POLL_SECONDS)
    except BrokerAwayError as error:
        raise Conflict(f"Redis is away, so events may be on their way: {error}", code="events_waiting") from error


class EventsPlace:
    """Exposures and conversions in either store, what was derived from them, and dead letters."""

    is_per_environment = True

    def read(self, person: Person, scope: Environment) -> Iterator[dict[str, Any]]:
        for row in store().raw_events(units_of([scope], person.id)):
            yield {"place": row["table"], **{name: value for name, value in row.items() if name != "table"}}
        for letter, batch in _dead_letters([scope.pk], person.id):
            yield {"place": "deadLetters", "receivedAt": letter.received_at, "reason": letter.reason, "batch": batch}

    def erase(self, person: Person, scope: Environment, actor: Actor) -> list[Found]:  # noqa: ARG002 - as the protocol
        wait_until_stored(_WAIT_SECONDS)
        with transaction.atomic():
            erased = store().erase_units(units_of([scope], person.id))
            letters = _erase_dead_letters([scope.pk], person.id)
        return [
            Found("exposures", erased.exposures),
            Found("conversions", erased.conversions),
            Found("deadLetters", letters),
            Found("kinds of units in events", 0, _ANY_KIND),
            Found("properties of other units' events", 0, _NOT_SEARCHED),
        ]


def _dead_letters(environment_ids: Sequence[int], user_id: str) -> Iterator[tuple[DeadLetter, Batch]]:
    """Yield the user's dead letters. They have events as they came, before ids became pseudonyms."""
    for letter in DeadLetter.objects.filter(environment_id__in=environment_ids).iterator():
        try:
            batch = unpack(bytes(letter.payload))
        except msgspec.DecodeError:
            continue  # The letter names no unit that can be read.
        if user_id in {event.unit_id for event in batch.exposures} | {event.unit_id for event in batch.conversions}:
            yield letter, batch


def _erase_dead_letters(environment_ids: Sequence[int], user_id: str) -> int:
    found = [letter.pk for letter, _ in _dead_letters(environment_ids, user_id)]
    return DeadLetter.objects.filter(pk__in=found).delete()[0]
