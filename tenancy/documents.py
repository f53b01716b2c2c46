"""What the API answers for organizations, projects and the rest. The audit log stores the same documents."""

from typing import Any

from tenancy.models import Credential, Environment, Membership, Organization, PrivacyJob, Project, User


def organization_resource(organization: Organization) -> dict[str, Any]:
    return {
        "slug": organization.slug,
        "name": organization.name,
        "version": organization.version,
        "createdAt": organization.created_at,
    }


def project_resource(project: Project) -> dict[str, Any]:
    return {
        "key": project.key,
        "name": project.name,
        "flagNewDays": project.flag_new_days,
        "flagUnchangedDays": project.flag_unchanged_days,
        "flagUnusedDays": project.flag_unused_days,
        "version": project.version,
        "createdAt": project.created_at,
    }


def environment_resource(environment: Environment) -> dict[str, Any]:
    return {
        "key": environment.key,
        "project": environment.project.key,
        "name": environment.name,
        "isProduction": environment.is_production,
        "salt": environment.salt,
        "pseudonyms": environment.stores_pseudonyms,
        "exposures": environment.exposures,
        "configVersion": environment.config_version,
        "version": environment.version,
        "createdAt": environment.created_at,
    }


def member_resource(membership: Membership) -> dict[str, Any]:
    return {
        "id": membership.pk,
        "username": membership.user.username,
        "isService": membership.user.is_service,
        "role": membership.role,
        "project": membership.project.key if membership.project else None,
        "environment": membership.environment.key if membership.environment else None,
        "version": membership.version,
        "createdAt": membership.created_at,
    }


def service_account_resource(account: User) -> dict[str, Any]:
    return {
        "clientId": account.username,
        "name": account.first_name,
        "roles": [member_resource(membership) for membership in account.memberships.all()],
        "createdAt": account.date_joined,
    }


def credential_resource(credential: Credential) -> dict[str, Any]:
    """Return a credential without its secret, which only the answer to its creation has."""
    environment = credential.environment
    return {
        "id": str(credential.pk),
        "kind": credential.kind,
        "name": credential.name,
        "prefix": credential.prefix,
        "project": environment.project.key if environment else None,
        "environment": environment.key if environment else None,
        "environments": edge_environments(credential),
        "username": credential.user.username if credential.user else None,
        "createdAt": credential.created_at,
        "createdBy": credential.created_by,
        "expiresAt": credential.expires_at,
        "revokedAt": credential.revoked_at,
        "lastUsedAt": credential.last_used_at,
    }


def privacy_job_resource(job: PrivacyJob) -> dict[str, Any]:
    """Return a job without the id, which is known by its keyed hash alone."""
    return {
        "id": str(job.pk),
        "act": job.act,
        "kind": job.kind,
        "trace": job.trace,
        "state": job.state,
        "done": job.done,
        "total": job.total,
        "report": job.report,
        "hasFile": job.has_file,
        "error": job.error,
        "requestedBy": job.requested_by,
        "createdAt": job.created_at,
        "finishedAt": job.finished_at,
    }


def edge_environments(credential: Credential) -> list[str]:
    """The environments that an edge credential names, each as `project/environment`; none for any other kind."""
    if credential.kind != Credential.Kind.EDGE:
        return []
    return sorted(environment_name(row) for row in credential.environments.all())


def environment_name(environment: Environment) -> str:
    """An environment's name within its organization, as edges have it."""
    return f"{environment.project.key}/{environment.key}"
