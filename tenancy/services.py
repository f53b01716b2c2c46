"""Every write to organizations, projects, environments, members and credentials."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.db.models import F
from django.utils import timezone

import audit.services
from audit.actors import Actor
from tenancy import credentials
from tenancy.errors import Conflict, Invalid, Problem
from tenancy.models import Credential, Environment, KeyringRevision, Membership, Organization, Project, Role, User
from tenancy.signals import credentials_changed, environment_created


def clean(instance: models.Model) -> None:
    """Run `full_clean` and turn what it finds into problems with the field's name."""
    try:
        instance.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        problems = [
            Problem(_camel(field), found.code or "invalid", " ".join(found.messages))
            for field, errors in error.error_dict.items()
            for found in errors
        ]
        raise Invalid(problems) from error


def _camel(field: str) -> str:
    first, *rest = field.split("_")
    return first + "".join(part.title() for part in rest)


def _insert(instance: models.Model, *, key: str, noun: str) -> None:
    clean(instance)
    try:
        with transaction.atomic():
            instance.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(f"There is already {noun} with the key {key!r}.", code="key_exists", attr="key") from error


@transaction.atomic
def create_organization(*, actor: Actor, slug: str, name: str, owner: User | None = None) -> Organization:
    organization = Organization(slug=slug, name=name)
    _insert(organization, key=slug, noun="an organization")
    audit.services.record(
        actor=actor,
        action="organization.created",
        entity_type="organization",
        entity_key=slug,
        organization_id=organization.pk,
        after={"slug": slug, "name": name},
    )
    if owner is not None:
        add_member(actor=actor, user=owner, role=Role.OWNER, organization=organization)
    return organization


@transaction.atomic
def create_project(*, actor: Actor, organization: Organization, key: str, name: str) -> Project:
    project = Project(organization=organization, key=key, name=name)
    _insert(project, key=key, noun="a project")
    audit.services.record(
        actor=actor,
        action="project.created",
        entity_type="project",
        entity_key=key,
        organization_id=organization.pk,
        project=key,
        after={"key": key, "name": name},
    )
    return project


@transaction.atomic
def create_environment(
    *, actor: Actor, project: Project, key: str, name: str, is_production: bool = False, salt: str = ""
) -> Environment:
    """Create an environment; flags gives each of the project's flags a configuration in it, in this transaction."""
    environment = Environment(project=project, key=key, name=name, is_production=is_production, salt=salt)
    _insert(environment, key=key, noun="an environment")
    environment_created.send(sender=Environment, environment=environment, actor=actor)
    audit.services.record(
        actor=actor,
        action="environment.created",
        entity_type="environment",
        entity_key=key,
        organization_id=project.organization_id,
        project=project.key,
        environment=key,
        after={"key": key, "name": name, "isProduction": is_production, "salt": salt},
    )
    return environment


@transaction.atomic
def add_member(
    *,
    actor: Actor,
    user: User,
    role: Role,
    organization: Organization,
    project: Project | None = None,
    environment: Environment | None = None,
) -> Membership:
    membership = Membership(user=user, role=role, organization=organization, project=project, environment=environment)
    clean(membership)
    try:
        with transaction.atomic():
            membership.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(f"{user} has a role there already; change it instead.", code="member_exists") from error
    audit.services.record(
        actor=actor,
        action="member.added",
        entity_type="member",
        entity_key=user.get_username(),
        organization_id=organization.pk,
        project=project.key if project else "",
        environment=environment.key if environment else "",
        after={"user": user.get_username(), "role": str(role)},
    )
    return membership


@dataclass(frozen=True, slots=True)
class IssuedCredential:
    """A new credential, with its secret for the only time it can be shown."""

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
    user: User | None = None,
    expires_at: datetime | None = None,
) -> IssuedCredential:
    """Make a server or client key for an environment, or a management token for a person."""
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
    _record_credential(actor, credential, "credential.created", after=_describe(credential))
    _announce_credentials()
    return IssuedCredential(credential, secret.text)


@transaction.atomic
def revoke_credential(*, actor: Actor, credential: Credential, reason: str = "") -> Credential:
    """Revoke for good, in effect everywhere within the propagation time; revoking again changes nothing."""
    locked = Credential.objects.select_for_update().get(pk=credential.pk)
    if locked.revoked_at is not None:
        return locked
    before = _describe(locked)
    locked.revoked_at = timezone.now()
    locked.save(update_fields=["revoked_at"])
    _record_credential(actor, locked, "credential.revoked", before=before, after=_describe(locked), reason=reason)
    _announce_credentials()
    return locked


def _describe(credential: Credential) -> dict[str, Any]:
    return {
        "kind": credential.kind,
        "name": credential.name,
        "prefix": credential.prefix,
        "user": credential.user.get_username() if credential.user else None,
        "expiresAt": credential.expires_at,
        "revokedAt": credential.revoked_at,
    }


def _record_credential(actor: Actor, credential: Credential, action: str, **states: Any) -> None:
    environment = credential.environment
    audit.services.record(
        actor=actor,
        action=action,
        entity_type="credential",
        entity_key=credential.prefix,
        organization_id=credential.organization_id,
        project=environment.project.key if environment else "",
        environment=environment.key if environment else "",
        **states,
    )


def _announce_credentials() -> None:
    """Count the keyring's revision up in this transaction, and tell every process once it has committed."""
    if not KeyringRevision.objects.filter(pk=1).update(value=F("value") + 1):
        KeyringRevision(value=1).save()
    transaction.on_commit(lambda: credentials_changed.send_robust(sender=Credential))
