"""Rotating the secret that signs an environment's snapshots."""

from django.db import transaction
from django.utils import timezone

import audit.services
from audit.actors import Actor
from flags.models import SnapshotSigning
from tenancy.models import Environment
from tenancy.services.credentials import announce_credentials


@transaction.atomic
def rotate_signing_key(*, actor: Actor, environment: Environment, reason: str = "") -> SnapshotSigning:
    """Sign with a new secret from now on, and with the previous one too until it is retired."""
    row = _locked(environment)
    before = _state(row)
    row.generation += 1
    row.is_previous_valid = True
    _save(actor, row, "signing_key.rotated", before, reason)
    return row


@transaction.atomic
def retire_previous_signing_key(*, actor: Actor, environment: Environment, reason: str = "") -> SnapshotSigning:
    """Stop signing with the previous secret. If it is retired already, nothing is written."""
    row = _locked(environment)
    if row.is_previous_valid:
        before = _state(row)
        row.is_previous_valid = False
        _save(actor, row, "signing_key.retired", before, reason)
    return row


def _locked(environment: Environment) -> SnapshotSigning:
    SnapshotSigning.objects.get_or_create(environment=environment)
    return SnapshotSigning.objects.select_for_update().get(environment=environment)


def _state(row: SnapshotSigning) -> dict[str, object]:
    return {"generation": row.generation, "isPreviousValid": row.is_previous_valid}


def _save(actor: Actor, row: SnapshotSigning, action: str, before: dict[str, object], reason: str) -> None:
    row.rotated_at = timezone.now()
    row.save()
    environment = row.environment
    audit.services.record(
        actor=actor,
        action=action,
        at=environment,
        key=environment.key,
        before=before,
        after=_state(row),
        reason=reason,
    )
    # One revision tells processes to read both the keyring and the signing keys.
    announce_credentials()
