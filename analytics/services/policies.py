"""Event policies: how long an environment's events are stored, under which ids, with which attributes."""

import secrets
from collections.abc import Sequence
from typing import Final

from django.db import transaction

import audit.services
from analytics.models import EventPolicy
from analytics.stores import store
from audit.actors import Actor
from tenancy.errors import Conflict, Invalid
from tenancy.models import Environment

MOST_ATTRIBUTES: Final = 20
LONGEST_NAME: Final = 100
# A conversion counts for up to seven days after its exposure, so both are needed for a day more.
FEWEST_DAYS: Final = 8
MOST_DAYS: Final = 36_500


@transaction.atomic
def set_event_policy(
    *,
    actor: Actor,
    environment: Environment,
    retention_days: int | None,
    stores_pseudonyms: bool,
    exposure_attributes: Sequence[str] | None = None,
) -> EventPolicy:
    """Set an environment's policy. Stored ids become pseudonyms at once; pseudonyms never become ids again (409).

    `exposure_attributes` are stored with the server's exposures from now on; None means the defaults. A user id among
    them is Invalid, and so are fewer than eight days.
    """
    _refuse_days(retention_days)
    EventPolicy.objects.get_or_create(environment=environment)
    policy = EventPolicy.objects.select_for_update().get(environment=environment)
    before = describe(policy)
    if policy.pseudonym_key is not None and not stores_pseudonyms:
        raise Conflict(
            "The ids behind pseudonyms are not stored anywhere, so they cannot come back; new ids beside pseudonyms "
            "would make two users of one.",
            code="pseudonyms_are_final",
        )
    makes_pseudonymous = stores_pseudonyms and policy.pseudonym_key is None
    if makes_pseudonymous:
        policy.pseudonym_key = secrets.token_bytes(32)
    policy.retention_days = retention_days
    policy.exposure_attributes = _attributes(exposure_attributes)
    policy.full_clean()
    policy.save()
    if makes_pseudonymous:
        store().make_pseudonymous(environment.pk, bytes(policy.pseudonym_key or b""))
        Environment.objects.filter(pk=environment.pk).update(stores_pseudonyms=True)
        environment.stores_pseudonyms = True
    audit.services.record(
        actor=actor,
        action="events.policy_changed",
        at=environment,
        key=environment.key,
        before=before,
        after=describe(policy),
    )
    return policy


def describe(policy: EventPolicy) -> dict[str, object]:
    return {
        "retentionDays": policy.retention_days,
        "pseudonyms": policy.pseudonym_key is not None,
        "exposureAttributes": policy.exposure_attributes,
    }


def _refuse_days(retention_days: int | None) -> None:
    if retention_days is not None and not FEWEST_DAYS <= retention_days <= MOST_DAYS:
        raise Invalid(
            f"Keep raw events for {FEWEST_DAYS} to {MOST_DAYS:,} days: a conversion counts for up to seven days after "
            "its exposure, and both have to be there. Leave it empty for the installation's own number.",
            attr="retentionDays",
            code="out_of_range",
        )


def _attributes(names: Sequence[str] | None) -> list[str] | None:
    if names is None:
        return None
    found = list(dict.fromkeys(names))
    if len(found) > MOST_ATTRIBUTES or not all(0 < len(name) <= LONGEST_NAME for name in found):
        raise Invalid(
            f"Name at most {MOST_ATTRIBUTES} attributes of 1 to {LONGEST_NAME} characters.", attr="exposureAttributes"
        )
    if "userId" in found:
        raise Invalid("The user id is kept already, as its pseudonym where that is chosen.", attr="exposureAttributes")
    return found
