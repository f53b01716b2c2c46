"""Every write to organizations, projects, environments, members and credentials."""

from tenancy.services.credentials import (
    IssuedCredential,
    change_edge_environments,
    issue_credential,
    revoke_credential,
    write_last_used,
)
from tenancy.services.members import (
    add_member,
    change_member,
    change_password,
    create_person,
    create_service_account,
    delete_service_account,
    record_lock_out,
    remove_member,
)
from tenancy.services.organizations import (
    create_environment,
    create_organization,
    create_project,
    delete_environment,
    delete_organization,
    delete_project,
    update_environment,
    update_organization,
    update_project,
)
from tenancy.services.rows import clean

__all__ = [
    "IssuedCredential",
    "add_member",
    "change_edge_environments",
    "change_member",
    "change_password",
    "clean",
    "create_environment",
    "create_organization",
    "create_person",
    "create_project",
    "create_service_account",
    "delete_environment",
    "delete_organization",
    "delete_project",
    "delete_service_account",
    "issue_credential",
    "record_lock_out",
    "remove_member",
    "revoke_credential",
    "update_environment",
    "update_organization",
    "update_project",
    "write_last_used",
]
