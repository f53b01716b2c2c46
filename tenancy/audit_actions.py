"""The audit actions on organizations, projects, environments, people, their roles and their credentials."""

from typing import TypedDict

from audit.actions import Action, Document, register


class MemberState(TypedDict):
    user: str
    role: str


class PersonState(TypedDict, total=False):
    """`subject` is the identity provider's subject of a person who came by single sign-on."""

    username: str
    email: str
    subject: str


class ServiceAccountState(TypedDict):
    clientId: str


class LockOut(TypedDict):
    wrongAttempts: int
    lastFrom: str


class PersonKind(TypedDict):
    kind: str


class PersonReport(TypedDict):
    """By place, how much was erased or handed out, and how much remains."""

    kind: str
    counts: dict[str, int]
    remaining: dict[str, int]
    requestedBy: str


_ORGANIZATION = Document("Organization")
_PROJECT = Document("Project")
_ENVIRONMENT = Document("Environment")
_CREDENTIAL = Document("Credential")
_LOCKED_OUT = (
    "too many wrong {what} (`LOGIN_ATTEMPTS`): how many, and the address the last came from. At most one row for each "
    "`LOGIN_LOCKOUT_SECONDS`; names that nobody has leave none"
)

register(
    Action("organization.created", "Organization created", "an organization was made", _ORGANIZATION),
    Action("organization.updated", "Organization changed", "an organization was renamed", _ORGANIZATION),
    Action("organization.deleted", "Organization deleted", "an empty organization was deleted", _ORGANIZATION),
    Action("project.created", "Project created", "a project was made", _PROJECT),
    Action("project.updated", "Project changed", "a project was renamed", _PROJECT),
    Action("project.deleted", "Project deleted", "an empty project was deleted", _PROJECT),
    Action(
        "environment.created",
        "Environment created",
        "an environment was made; every flag got a configuration there, switched off",
        _ENVIRONMENT,
    ),
    Action("environment.updated", "Environment changed", "an environment was changed", _ENVIRONMENT),
    Action("environment.deleted", "Environment deleted", "an environment was deleted", _ENVIRONMENT),
    Action("member.added", "Member added", "a person or service account got a role", MemberState),
    Action("member.updated", "Role changed", "a member's role changed", MemberState),
    Action("member.removed", "Member removed", "a member lost the role", MemberState),
    Action("person.created", "Person created", "a person was given an account", PersonState),
    Action(
        "person.password_changed",
        "Password changed",
        "a person chose another password, which ended their other sessions",
    ),
    Action("person.locked_out", "Person locked out", _LOCKED_OUT.format(what="passwords"), LockOut, tone="warning"),
    Action("service_account.created", "Service account created", "a service account was made", ServiceAccountState),
    Action(
        "service_account.deleted",
        "Service account deleted",
        "a service account was deleted, its secrets with it",
        ServiceAccountState,
    ),
    Action(
        "service_account.locked_out",
        "Service account locked out",
        _LOCKED_OUT.format(what="secrets"),
        LockOut,
        tone="warning",
    ),
    Action(
        "credential.created",
        "Key or token created",
        "a key or token was made (its prefix is in the row, its secret is nowhere)",
        _CREDENTIAL,
    ),
    Action(
        "credential.updated",
        "Edge credential changed",
        "an edge credential names other environments",
        _CREDENTIAL,
    ),
    Action("credential.revoked", "Key or token revoked", "a key or token stopped working", _CREDENTIAL),
    Action(
        "privacy.erasure_requested",
        "Erasure requested",
        "somebody asked to erase what is stored of a person; the row's key is a keyed hash of the id",
        PersonKind,
        entity="person",
        tone="warning",
    ),
    Action(
        "privacy.export_requested",
        "Export of a person requested",
        "somebody asked for a copy of what is stored of a person",
        PersonKind,
        entity="person",
    ),
    Action(
        "privacy.erased",
        "Person erased",
        "what was stored of a person was erased, by place; `remaining` is what has to stay",
        PersonReport,
        entity="person",
        tone="warning",
    ),
    Action("privacy.exported", "Person exported", "a copy was made", PersonReport, entity="person"),
)
