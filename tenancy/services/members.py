"""Members and their roles; people and service accounts who hold them."""

from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import IntegrityError, transaction
from django.db.models import Q

import audit.services
from audit.actors import Actor
from tenancy.documents import member_resource
from tenancy.errors import Conflict, Invalid, Problem
from tenancy.models import Environment, Membership, Organization, Project, User
from tenancy.refusals import refuse_stale
from tenancy.roles import Role
from tenancy.services import rows
from tenancy.services.credentials import IssuedCredential, announce_credentials, issue_credential

_account_syntax = RegexValidator(r"^[a-z0-9]([a-z0-9._-]{0,58}[a-z0-9])?\Z")


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
    """Give somebody a role on an organization, or narrower. Raises Invalid, or Conflict `member_exists`."""
    _refuse_foreign(organization, project, environment)
    if user.service_of_id not in {None, organization.pk}:
        raise Invalid("A service account works in its own organization alone.", attr="username", code="foreign")
    membership = Membership(user=user, role=role, organization=organization, project=project, environment=environment)
    rows.clean(membership)
    try:
        with transaction.atomic():
            membership.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(f"{user} has a role there already; change it instead.", code="member_exists") from error
    audit.services.record(
        actor=actor, action="member.added", at=membership, key=user.get_username(), after=_state(membership)
    )
    return membership


def _refuse_foreign(organization: Organization, project: Project | None, environment: Environment | None) -> None:
    """Refuse a project outside the organization, and an environment outside the project."""
    if project is not None and project.organization_id != organization.pk:
        raise Invalid("There is no such project in this organization.", attr="project", code="not_found")
    if environment is not None and (project is None or environment.project_id != project.pk):
        raise Invalid("There is no such environment in this project.", attr="environment", code="not_found")


@transaction.atomic
def change_member(*, actor: Actor, membership: Membership, role: Role, version: int | None) -> Membership:
    """Change a role. Raises Conflict `version_conflict` or, for the organization's last owner, `last_owner`."""
    row = _locked(membership)
    current, before = member_resource(row), _state(row)
    refuse_stale("member", current, version)
    if row.role == role:
        return row
    _refuse_last_owner(row)
    row.role, row.version = role, row.version + 1
    row.save(update_fields=["role", "version"])
    audit.services.record(
        actor=actor,
        action="member.updated",
        at=row,
        key=row.user.get_username(),
        before=before,
        after=_state(row),
    )
    return row


@transaction.atomic
def remove_member(*, actor: Actor, membership: Membership, reason: str = "") -> None:
    """Take a role away; the person stays. Raises Conflict `last_owner`."""
    row = _locked(membership)
    _refuse_last_owner(row)
    audit.services.record(
        actor=actor,
        action="member.removed",
        at=row,
        key=row.user.get_username(),
        before=_state(row),
        reason=reason,
    )
    row.delete()


def _locked(membership: Membership) -> Membership:
    # The organization's row is locked as well, so that two last owners cannot remove each other at once.
    Organization.objects.select_for_update().get(pk=membership.organization_id)
    found = Membership.objects.select_for_update(of=("self",))
    return found.select_related("user", "organization", "project", "environment").get(pk=membership.pk)


def _refuse_last_owner(membership: Membership) -> None:
    if membership.role != Role.OWNER or membership.project_id is not None:
        return
    owners = Membership.objects.filter(
        organization=membership.organization_id, project__isnull=True, role=Role.OWNER, user__is_active=True
    )
    if not owners.exclude(pk=membership.pk).exists():
        raise Conflict(
            "This is the organization's last owner; make somebody else an owner first.", code="last_owner", attr="role"
        )


@transaction.atomic
def create_person(*, actor: Actor, organization: Organization, username: str, password: str, email: str = "") -> User:
    """Create somebody who can sign in to the console, without a role yet. Raises Invalid, or Conflict `key_exists`."""
    user = User(username=username, email=email, is_staff=True)
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid([Problem("password", "weak", message) for message in error.messages]) from error
    user.set_password(password)
    rows.insert(user, key=username, noun="somebody", attr="username")
    audit.services.record(
        actor=actor,
        action="person.created",
        at=organization,
        key=username,
        after={"username": username, "email": email},
    )
    return user


@transaction.atomic
def change_password(*, actor: Actor, user: User, password: str) -> None:
    """Give somebody a new password, which ends their other sessions. Each of their organizations' logs has a row.

    Raises Invalid.
    """
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid([Problem("password", "weak", message) for message in error.messages]) from error
    user.set_password(password)
    user.save(update_fields=["password"])
    for organization in Organization.objects.filter(memberships__user=user).distinct() or [None]:
        audit.services.record(
            actor=actor,
            action="person.password_changed",
            at=organization,
            key=user.username,
        )


@transaction.atomic
def record_lock_out(*, actor: Actor, name: str, attempts: int, address: str) -> None:
    """Record in each of the account's organizations that it is locked out for a while.

    A name that nobody has leaves no row, because invented names could fill the log.
    """
    for account in User.objects.filter(username__iexact=name):
        mine = Q(pk=account.service_of_id) if account.is_service else Q(memberships__user=account)
        kind = "service_account" if account.is_service else "person"
        for organization in Organization.objects.filter(mine).distinct() or [None]:
            audit.services.record(
                actor=actor,
                action=f"{kind}.locked_out",
                at=organization,
                key=account.username,
                after={"wrongAttempts": attempts, "lastFrom": address},
            )


@transaction.atomic
def create_service_account(*, actor: Actor, organization: Organization, name: str) -> tuple[User, IssuedCredential]:
    """Create an account for a program, without a role yet, and its first secret.

    Its client id is `name@organization`. The secret works as a management token, and at `auth/token` for a JWT.
    """
    try:
        _account_syntax(name)
    except ValidationError as error:
        detail = "Use lower-case letters, digits, dots, hyphens and underscores, at most 60, as in deploy-bot."
        raise Invalid(detail, attr="name") from error
    account = User(username=f"{name}@{organization.slug}", first_name=name, service_of=organization)
    account.set_unusable_password()
    rows.insert(account, key=name, noun="a service account", attr="name")
    audit.services.record(
        actor=actor,
        action="service_account.created",
        at=organization,
        key=account.username,
        after={"clientId": account.username},
    )
    issued = issue_credential(actor=actor, kind="manage", name=name, organization=organization, user=account)
    return account, issued


@transaction.atomic
def delete_service_account(*, actor: Actor, account: User, reason: str = "") -> None:
    """Delete the account with its roles and secrets, in effect within the propagation time.

    Raises Conflict `last_owner`.
    """
    for membership in account.memberships.order_by("pk"):
        _refuse_last_owner(_locked(membership))
    audit.services.record(
        actor=actor,
        action="service_account.deleted",
        at=account.service_of,
        key=account.username,
        before={"clientId": account.username},
        reason=reason,
    )
    announce_credentials()
    account.delete()


def _state(membership: Membership) -> dict[str, Any]:
    return {"user": membership.user.get_username(), "role": str(membership.role)}
