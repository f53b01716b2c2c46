"""Issues and revokes credentials. Every process learns of it on commit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

import audit.services
from audit.actors import Actor
from tenancy import credentials
from tenancy.documents import credential_resource
from tenancy.errors import Conflict, Invalid
from tenancy.models import Credential, Environment, KeyringRevision, Organization, User
from tenancy.services.rows import clean
from tenancy.signals import credentials_changed


@dataclass(frozen=True, slots=True)
class IssuedCredential:
    """A new credential with its secret, which is not stored and can be shown only now."""

    credential: Credential
    secret: str


@transaction.atomic
def issue_credential(
    *,
    actor: Actor,
    kind: str,
    name: str,
    organization: Organization,
    environment: Environment | None = None,
    environments: Sequence[Environment] = (),
    user: User | None = None,
    expires_at: datetime | None = None,
) -> IssuedCredential:
    """Make a server or client key for an environment, or a management token for a person or service account.

    An edge credential is for one or more `environments`.
    """
    _refuse_foreign(kind, organization, environment, user)
    _refuse_environments(kind, organization, environments)
    secret = credentials.generate(kind)
    credential = Credential(
        kind=kind,
        name=name,
        organization=organization,
        environment=environment,
        user=user,
        prefix=secret.prefix,
        secret_hash=secret.digest,
        created_by=actor.label,
        expires_at=expires_at,
    )
    clean(credential)
    credential.save(force_insert=True)
    if environments:
        credential.environments.set(environments)
    audit.services.record(
        actor=actor, action="credential.created", at=credential, key=credential.prefix, after=_state(credential)
    )
    announce_credentials()
    return IssuedCredential(credential, secret.text)


def _refuse_foreign(kind: str, organization: Organization, environment: Environment | None, user: User | None) -> None:
    if kind not in Credential.Kind.values:
        raise Invalid(f"Use one of: {', '.join(Credential.Kind.values)}.", attr="kind", code="invalid_choice")
    if kind == Credential.Kind.MANAGE:
        if environment is not None:
            raise Invalid("A management token belongs to a person, not to an environment.", attr="environment")
        if user is None:
            raise Invalid("Say whose token it is.", attr="username", code="required")
    elif kind == Credential.Kind.EDGE:
        if environment is not None:
            raise Invalid("An edge credential is for several; name them in `environments`.", attr="environment")
    elif environment is None or environment.project.organization_id != organization.pk:
        raise Invalid("Name one of this organization's environments.", attr="environment", code="required")


def _refuse_environments(kind: str, organization: Organization, environments: Sequence[Environment]) -> None:
    if kind != Credential.Kind.EDGE:
        if environments:
            raise Invalid("Only an edge credential is for several; leave `environments` out.", attr="environments")
    elif not environments:
        detail = 'Name the environments that the edge serves: ["web/production"].'
        raise Invalid(detail, attr="environments", code="required")
    elif any(row.project.organization_id != organization.pk for row in environments):
        raise Invalid("Name this organization's environments.", attr="environments", code="unknown_environment")


@transaction.atomic
def change_edge_environments(
    *, actor: Actor, credential: Credential, add: Sequence[Environment] = (), remove: Sequence[Environment] = ()
) -> Credential:
    """Let an edge serve other environments. Every edge with the credential follows within the propagation time."""
    locked = Credential.objects.select_for_update(of=("self",)).select_related("organization").get(pk=credential.pk)
    if locked.kind != Credential.Kind.EDGE or locked.revoked_at is not None:
        raise Invalid("Only an edge credential that is not revoked names environments.", attr="credential_id")
    _refuse_environments(locked.kind, locked.organization, [*add, *remove])
    before, named = _state(locked), {row.pk for row in locked.environments.all()}
    wanted = (named | {row.pk for row in add}) - {row.pk for row in remove}
    if wanted == named:
        return locked
    if not wanted:
        raise Conflict("It is the edge's last environment. Revoke the credential instead.", code="in_use")
    locked.environments.set(wanted)
    audit.services.record(
        actor=actor, action="credential.updated", at=locked, key=locked.prefix, before=before, after=_state(locked)
    )
    announce_credentials()
    return locked


@transaction.atomic
def revoke_credential(*, actor: Actor, credential: Credential, reason: str = "") -> Credential:
    """Revoke a credential for good. Every process refuses it within the propagation time. Again: nothing happens."""
    locked = (
        Credential.objects.select_for_update(of=("self",))
        .select_related("environment__project", "user")
        .get(pk=credential.pk)
    )
    if locked.revoked_at is not None:
        return locked
    before = _state(locked)
    locked.revoked_at = timezone.now()
    locked.save(update_fields=["revoked_at"])
    audit.services.record(
        actor=actor,
        action="credential.revoked",
        at=locked,
        key=locked.prefix,
        before=before,
        after=_state(locked),
        reason=reason,
    )
    announce_credentials()
    return locked


def write_last_used(used: Mapping[UUID, float]) -> None:
    """Write when each credential was last used (Unix seconds), in one statement for all."""
    if not used:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE tenancy_credential AS credential SET last_used_at = used.at"
            " FROM unnest(%s::uuid[], %s::timestamptz[]) AS used (id, at)"
            " WHERE credential.id = used.id AND (credential.last_used_at IS NULL OR credential.last_used_at < used.at)",
            [list(used), [datetime.fromtimestamp(at, UTC) for at in used.values()]],
        )


def announce_credentials() -> None:
    """Count the keyring's revision up in this transaction, and announce it on commit."""
    if not KeyringRevision.objects.filter(pk=1).update(value=F("value") + 1):
        KeyringRevision(value=1).save()
    transaction.on_commit(lambda: credentials_changed.send_robust(sender=Credential))


def _state(credential: Credential) -> dict[str, Any]:
    # The time of the last use is not part of a change.
    return {name: value for name, value in credential_resource(credential).items() if name != "lastUsedAt"}
