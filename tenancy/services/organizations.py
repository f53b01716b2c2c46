"""Organizations, projects and environments: created, renamed, and deleted once nothing uses them."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

import audit.services
from audit.actors import Actor
from tenancy.documents import environment_resource, organization_resource, project_resource
from tenancy.errors import Conflict
from tenancy.models import Environment, Exposures, Organization, Project, User
from tenancy.refusals import refuse_stale
from tenancy.roles import Role
from tenancy.services import rows
from tenancy.services.credentials import announce_credentials
from tenancy.services.members import add_member
from tenancy.signals import environment_created, exposures_changed


@transaction.atomic
def create_organization(*, actor: Actor, slug: str, name: str, owner: User | None = None) -> Organization:
    organization = Organization(slug=slug, name=name)
    rows.insert(organization, key=slug, noun="an organization", attr="slug")
    audit.services.record(
        actor=actor,
        action="organization.created",
        at=organization,
        key=organization.slug,
        after=organization_resource(organization),
    )
    if owner is not None:
        add_member(actor=actor, user=owner, role=Role.OWNER, organization=organization)
    return organization


@transaction.atomic
def update_organization(
    *, actor: Actor, organization: Organization, payload: Mapping[str, Any], version: int | None
) -> Organization:
    row = Organization.objects.select_for_update().get(pk=organization.pk)
    before = organization_resource(row)
    refuse_stale("organization", before, version)
    rows.apply(row, payload, {"name": "name"}, fixed="slug")
    row.save(update_fields=["name", "version"])
    audit.services.record(
        actor=actor,
        action="organization.updated",
        at=row,
        key=row.slug,
        before=before,
        after=organization_resource(row),
    )
    return row


@transaction.atomic
def delete_organization(*, actor: Actor, organization: Organization, reason: str = "") -> None:
    """Delete an organization without projects; its audit log stays. Raises Conflict `in_use`."""
    row = Organization.objects.select_for_update().get(pk=organization.pk)
    before = organization_resource(row)
    audit.services.record(
        actor=actor, action="organization.deleted", at=row, key=row.slug, before=before, reason=reason
    )
    announce_credentials()
    rows.delete(row, noun="organization")


@transaction.atomic
def create_project(*, actor: Actor, organization: Organization, key: str, name: str) -> Project:
    project = Project(organization=organization, key=key, name=name)
    rows.insert(project, key=key, noun="a project")
    audit.services.record(
        actor=actor,
        action="project.created",
        at=project,
        key=project.key,
        after=project_resource(project),
    )
    return project


@transaction.atomic
def update_project(*, actor: Actor, project: Project, payload: Mapping[str, Any], version: int | None) -> Project:
    row = Project.objects.select_for_update(of=("self",)).select_related("organization").get(pk=project.pk)
    before = project_resource(row)
    refuse_stale("project", before, version)
    fields = {
        "name": "name",
        "flagNewDays": "flag_new_days",
        "flagUnchangedDays": "flag_unchanged_days",
        "flagUnusedDays": "flag_unused_days",
    }
    rows.apply(row, payload, fields, fixed="key")
    row.save(update_fields=[*fields.values(), "version"])
    audit.services.record(
        actor=actor,
        action="project.updated",
        at=row,
        key=row.key,
        before=before,
        after=project_resource(row),
    )
    return row


@transaction.atomic
def delete_project(*, actor: Actor, project: Project, reason: str = "") -> None:
    """Delete a project without flags and environments. Raises Conflict `in_use`."""
    row = Project.objects.select_for_update(of=("self",)).select_related("organization").get(pk=project.pk)
    before = project_resource(row)
    audit.services.record(actor=actor, action="project.deleted", at=row, key=row.key, before=before, reason=reason)
    rows.delete(row, noun="project")


@transaction.atomic
def create_environment(
    *,
    actor: Actor,
    project: Project,
    key: str,
    name: str,
    is_production: bool = False,
    salt: str = "",
    stores_pseudonyms: bool = False,
    exposures: str = Exposures.ALL,
) -> Environment:
    """Create an environment. The flags app configures each of the project's flags there, in this transaction.

    With `stores_pseudonyms` its events name users by keyed hashes from the first one on.
    """
    environment = Environment(
        project=project,
        key=key,
        name=name,
        is_production=is_production,
        salt=salt,
        stores_pseudonyms=stores_pseudonyms,
        exposures=exposures,
    )
    rows.insert(environment, key=key, noun="an environment")
    environment_created.send(sender=Environment, environment=environment, actor=actor)
    environment.refresh_from_db(fields=["config_version"])
    audit.services.record(
        actor=actor,
        action="environment.created",
        at=environment,
        key=environment.key,
        after=environment_resource(environment),
    )
    return environment


@transaction.atomic
def update_environment(
    *, actor: Actor, environment: Environment, payload: Mapping[str, Any], version: int | None
) -> Environment:
    """Change the name, whether it is production, or which exposures its flags log.

    The salt is fixed, because it decides which variant a user gets.
    """
    row = _locked(environment)
    before = environment_resource(row)
    refuse_stale("environment", before, version)
    if payload.get("salt", row.salt) != row.salt:
        raise Conflict("The salt is fixed at creation: another one would reshuffle every user.", code="salt_fixed",
                       attr="salt")  # fmt: skip
    logged_before = row.exposures
    fields = {"name": "name", "isProduction": "is_production", "exposures": "exposures"}
    rows.apply(row, payload, fields, fixed="key")
    row.save(update_fields=[*fields.values(), "version"])
    if row.exposures != logged_before:
        exposures_changed.send(sender=Environment, environment=row, actor=actor)
        row.refresh_from_db(fields=["config_version"])
    audit.services.record(
        actor=actor,
        action="environment.updated",
        at=row,
        key=row.key,
        before=before,
        after=environment_resource(row),
    )
    return row


@transaction.atomic
def delete_environment(*, actor: Actor, environment: Environment, reason: str = "") -> None:
    """Delete an environment with its flags' configurations and their history. Raises Conflict `in_use`.

    It must have no live key, so that no service still asks for it, no experiment, and nothing that guards its changes.
    """
    row = _locked(environment)
    if row.is_guarded:
        raise Conflict("A policy or a freeze guards the environment. Take these away first.", code="in_use")
    live = (row.credentials.all() | row.edge_credentials.all()).filter(revoked_at__isnull=True).distinct()
    names = [str(key) for key in live if key.expires_at is None or key.expires_at > timezone.now()]
    if names:
        raise Conflict(f"The environment is still used by: {', '.join(names)}. Revoke these keys first.", code="in_use")
    before = environment_resource(row)
    audit.services.record(actor=actor, action="environment.deleted", at=row, key=row.key, before=before, reason=reason)
    announce_credentials()
    rows.delete(row, noun="environment")


def _locked(environment: Environment) -> Environment:
    found = Environment.objects.select_for_update(of=("self",)).select_related("project__organization")
    return found.get(pk=environment.pk)
