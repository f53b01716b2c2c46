"""Every write to webhooks, each with its audit row, and with a call to a worker on commit."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.utils import timezone
from openflagship.ids import uuid7

import audit.services
from audit.actors import Actor
from audit.models import Entry
from integrations.documents import audited_webhook, webhook_resource
from integrations.event_types import pattern_problems
from integrations.models import WebhookCursor, WebhookDelivery, WebhookEndpoint
from integrations.services.addresses import address_problems
from integrations.webhooks.dispatch import wake
from integrations.webhooks.events import TEST_EVENT
from integrations.webhooks.signing import PREVIOUS_VALID, secret_of
from tenancy.errors import Conflict, Invalid, Problem
from tenancy.models import Environment, Organization, User
from tenancy.refusals import refuse_if_any, refuse_read_only, refuse_stale, refuse_unknown
from tenancy.services import clean

MOST_WEBHOOKS: Final = 100
DELIVERIES_KEPT_DAYS: Final = 30
_MOST_NAMED: Final = 200
_MOST_TAG_CHARACTERS: Final = 100
# By the API's name.
_FIELDS: Final = ("name", "url", "events", "projects", "environments", "tags", "enabled")
_LISTS: Final = ("events", "projects", "environments", "tags")
_SHOWN: Final = dict.fromkeys(
    (
        "id", "disabledReason", "failingSince", "failedAttempts", "nextAttemptAt", "previousSecretUntil", "createdBy",
        "createdAt", "updatedAt",
    ),
    "",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class IssuedWebhook:
    """A webhook with a secret that can be shown only now."""

    endpoint: WebhookEndpoint
    secret: str


def create_webhook(*, actor: Actor, organization: Organization, payload: Mapping[str, Any]) -> IssuedWebhook:
    """Make a webhook, which is told of what happens from now on. Raises Invalid or Conflict."""
    refuse_unknown(payload, _FIELDS)
    return _create_webhook(actor, organization, payload, _address_problems(payload))


@transaction.atomic
def _create_webhook(
    actor: Actor, organization: Organization, payload: Mapping[str, Any], url_problems: list[Problem]
) -> IssuedWebhook:
    refuse_if_any([
        Problem(name, "required", f"Send the {name}.") for name in ("name", "url", "events") if not payload.get(name)
    ])  # fmt: skip
    # Of two at once the second waits here, so that both are counted.
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    if organization.webhooks.count() >= MOST_WEBHOOKS:
        raise Conflict(f"An organization has at most {MOST_WEBHOOKS} webhooks; delete one first.", code="limit_reached")
    endpoint = WebhookEndpoint(
        organization=organization,
        owner=User.objects.filter(pk=actor.id).first() if actor.kind == "user" else None,
        created_by=actor.label,
    )
    _set(endpoint, payload, url_problems)
    endpoint.save(force_insert=True)
    cursor = WebhookCursor.objects.create(endpoint=endpoint)
    entry = _record(actor, endpoint, "webhook.created", after=audited_webhook(endpoint))
    cursor.position = entry.position
    cursor.save(update_fields=["position"])
    return IssuedWebhook(endpoint, secret_of(endpoint))


def update_webhook(
    *, actor: Actor, endpoint: WebhookEndpoint, payload: Mapping[str, Any], version: int | None
) -> WebhookEndpoint:
    """Change a webhook. Switched on again, it goes on with the event at which it stopped. Raises Invalid, Conflict."""
    return _update_webhook(actor, endpoint, payload, version, _address_problems(payload))


@transaction.atomic
def _update_webhook(
    actor: Actor,
    endpoint: WebhookEndpoint,
    payload: Mapping[str, Any],
    version: int | None,
    url_problems: list[Problem],
) -> WebhookEndpoint:
    locked = _locked(endpoint)
    refuse_unknown(payload, (*_FIELDS, *_SHOWN, "version"))
    current = webhook_resource(locked)
    refuse_stale("webhook", current, version)
    refuse_read_only(payload, current, _SHOWN)
    before, was_enabled, old_url = audited_webhook(locked), locked.enabled, locked.url
    _set(locked, payload, url_problems)
    if locked.enabled:
        locked.disabled_reason = ""
    elif was_enabled:
        locked.disabled_reason = WebhookEndpoint.Disabled.BY_PERSON
    if audited_webhook(locked) == before:
        return locked
    if (locked.enabled and not was_enabled) or locked.url != old_url:
        # Whatever failed before is tried anew, and the 24 hours begin anew.
        cursor = locked.cursor
        cursor.attempts, cursor.failing_since, cursor.due_at = 0, None, None
        cursor.save()
    locked.version += 1
    locked.save()
    _record(actor, locked, "webhook.updated", before=before, after=audited_webhook(locked))
    return locked


@transaction.atomic
def delete_webhook(*, actor: Actor, endpoint: WebhookEndpoint, reason: str = "") -> None:
    locked = _locked(endpoint)
    _record(actor, locked, "webhook.deleted", before=audited_webhook(locked), reason=reason)
    locked.delete()


@transaction.atomic
def rotate_webhook_secret(*, actor: Actor, endpoint: WebhookEndpoint, reason: str = "") -> IssuedWebhook:
    """Sign with a new secret, and for 24 hours with the one before it too."""
    locked = _locked(endpoint)
    before = _secret_state(locked)
    locked.generation += 1
    locked.previous_secret_until = timezone.now() + PREVIOUS_VALID
    locked.version += 1
    locked.save()
    _record(actor, locked, "webhook.secret_rotated", before=before, after=_secret_state(locked), reason=reason)
    return IssuedWebhook(locked, secret_of(locked))


@transaction.atomic
def request_test(*, endpoint: WebhookEndpoint) -> WebhookDelivery:
    """Ask a worker to send an event that tells of nothing: the way is that of every delivery."""
    delivery = WebhookDelivery.objects.create(
        endpoint=endpoint, kind=WebhookDelivery.Kind.TEST, event_id=f"evt_{uuid7().hex}", event_type=TEST_EVENT
    )
    transaction.on_commit(wake, robust=True)
    return delivery


@transaction.atomic
def redeliver(*, delivery: WebhookDelivery) -> WebhookDelivery:
    """Ask a worker to send an event once more, under the same id, ahead of what comes next. Raises Conflict."""
    if delivery.position is None:
        raise Conflict("A test is not sent again; ask for another test.", code="not_redeliverable")
    endpoint = delivery.endpoint
    waiting = endpoint.deliveries.filter(state=WebhookDelivery.State.WAITING, position=delivery.position).first()
    if waiting is not None:
        return waiting
    made = WebhookDelivery.objects.create(
        endpoint=endpoint,
        kind=WebhookDelivery.Kind.REDELIVERY,
        event_id=delivery.event_id,
        event_type=delivery.event_type,
        position=delivery.position,
    )
    transaction.on_commit(wake, robust=True)
    return made


@transaction.atomic
def redeliver_since(*, actor: Actor, endpoint: WebhookEndpoint, since: datetime, reason: str = "") -> WebhookEndpoint:
    """Set the cursor back: every event since the instant is delivered once more, in order, under the same ids.

    Raises Invalid for an instant that is to come.
    """
    if since > timezone.now():
        raise Invalid("Give an instant that has been.", attr="since", code="out_of_range")
    locked = _locked(endpoint)
    cursor = locked.cursor
    rows = Entry.objects.filter(organization_id=locked.organization_id, occurred_at__gte=since)
    first = rows.order_by("position").values_list("position", flat=True).first()
    if first is None or first > cursor.position:
        return locked
    before = {"position": cursor.position}
    cursor.position = first - 1
    cursor.attempts, cursor.failing_since, cursor.due_at = 0, None, None
    cursor.save()
    after = {"position": cursor.position}
    _record(actor, locked, "webhook.replayed", before=before, after=after, reason=reason)
    return locked


def prune_deliveries(*, before: datetime) -> int:
    """Delete attempts from before an instant. What waits is never that old."""
    return (
        WebhookDelivery.objects.filter(created_at__lt=before).exclude(state=WebhookDelivery.State.WAITING).delete()[0]
    )


def _locked(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    """The endpoint, while no worker delivers to it.

    The organization's lock comes first, as where an organization is deleted; then the cursor's, which workers take.
    """
    Organization.objects.select_for_update(no_key=True).get(pk=endpoint.organization_id)
    cursor = WebhookCursor.objects.select_for_update().get(pk=endpoint.pk)
    found = WebhookEndpoint.objects.select_for_update(of=("self",)).select_related("organization").get(pk=endpoint.pk)
    found.cursor = cursor
    return found


def _record(actor: Actor, endpoint: WebhookEndpoint, action: str, **states: Any) -> Entry:
    return audit.services.record(actor=actor, action=action, at=endpoint, key=str(endpoint.pk), **states)


def _secret_state(endpoint: WebhookEndpoint) -> dict[str, Any]:
    return {"generation": endpoint.generation, "previousSecretUntil": endpoint.previous_secret_until}


# -- What was sent --------------------------------------------------------------------------------------------------


def _set(endpoint: WebhookEndpoint, payload: Mapping[str, Any], url_problems: list[Problem]) -> None:
    """Put the fields that were sent on the row. Raises Invalid with every problem."""
    problems = [
        Problem(name, "invalid_type", "Send a list of texts.")
        for name in _LISTS
        if name in payload
        and not (isinstance(payload[name], list) and all(isinstance(text, str) for text in payload[name]))
    ]
    refuse_if_any(problems)
    for name in _FIELDS:
        if name in payload:
            value = payload[name]
            setattr(endpoint, name, list(dict.fromkeys(value)) if name in _LISTS else value)
    if not endpoint.events:
        problems.append(Problem("events", "required", "Name at least one event; * is all of them."))
    problems += [
        Problem(name, "max_length", f"Name at most {_MOST_NAMED}.")
        for name in _LISTS
        if len(getattr(endpoint, name)) > _MOST_NAMED
    ]
    problems += pattern_problems(endpoint.events)
    problems += _unknown_places(endpoint)
    problems += [
        Problem(f"tags[{index}]", "max_length", f"A tag has 1 to {_MOST_TAG_CHARACTERS} characters.")
        for index, tag in enumerate(endpoint.tags)
        if not 0 < len(tag) <= _MOST_TAG_CHARACTERS
    ]
    refuse_if_any([*problems, *url_problems])
    clean(endpoint)


def _address_problems(payload: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the address that was sent. It asks DNS, so no lock is held meanwhile."""
    return address_problems(str(payload["url"])) if payload.get("url") else []


def _unknown_places(endpoint: WebhookEndpoint) -> list[Problem]:
    organization = endpoint.organization
    environments = Environment.objects.filter(project__organization=organization)
    known = {
        "projects": set(organization.projects.values_list("key", flat=True)) if endpoint.projects else set(),
        "environments": set(environments.values_list("key", flat=True)) if endpoint.environments else set(),
    }
    return [
        Problem(f"{name}[{index}]", f"unknown_{name[:-1]}", f"This organization has no {name[:-1]} {key!r}.")
        for name, keys in known.items()
        for index, key in enumerate(getattr(endpoint, name))
        if key not in keys
    ]
