"""Single sign-on: a person gets an account at the first sign-on, and the roles of their groups at each."""

from collections.abc import Iterable

import structlog
from django.contrib.auth.models import Group
from django.db import transaction

import audit.services
from audit.actors import system
from tenancy.errors import Conflict
from tenancy.group_roles import GroupRoles, Scope, roles_of
from tenancy.models import Environment, Membership, Organization, Project, User
from tenancy.roles import Role
from tenancy.services import rows
from tenancy.services.members import add_member, change_member, remove_member

_log = structlog.get_logger(__name__)
_ACTOR = system("single sign-on")
_MOST_GROUPS = 200
_MOST_GROUP_CHARACTERS = 150


@transaction.atomic
def sign_on(*, subject: str, username: str, email: str, groups: Iterable[str], mapping: GroupRoles) -> User | None:
    """Give the person with that subject the roles of their groups. Returns None for a person without any role.

    In each place of the mapping the groups decide: they give, change or remove the role. Roles elsewhere stay. The
    account is found by the provider's subject alone, because anybody could have made a local account with that name
    or address before. The groups are kept, since policies name groups of approvers.
    """
    member_of = list(groups)
    wanted = roles_of(member_of, mapping)
    user = User.objects.select_for_update().filter(sso_subject=subject).first()
    if user is None:
        if not any(wanted.values()):
            return None
        user = _create(subject=subject, username=username, email=email)
    elif email and user.email != email:
        user.email = email
        user.save(update_fields=["email"])
    for scope, role in wanted.items():
        _set_role(user, scope, role)
    _keep_groups(user, member_of)
    return user if Membership.objects.filter(user=user).exists() else None


def _create(*, subject: str, username: str, email: str) -> User:
    taken = set(User.objects.filter(username__startswith=username[:140]).values_list("username", flat=True))
    number, free = 1, username[:150]
    while free in taken:
        number += 1
        free = f"{username[:140]}-{number}"
    user = User(username=free, email=email, is_staff=True, sso_subject=subject)
    user.set_unusable_password()
    rows.insert(user, key=free, noun="somebody", attr="username")
    return user


def _keep_groups(user: User, names: Iterable[str]) -> None:
    """Keep the names of the groups that the provider has the person in now."""
    kept = [name for name in dict.fromkeys(names) if 0 < len(name) <= _MOST_GROUP_CHARACTERS][:_MOST_GROUPS]
    there = set(Group.objects.filter(name__in=kept).values_list("name", flat=True))
    Group.objects.bulk_create([Group(name=name) for name in kept if name not in there], ignore_conflicts=True)
    user.groups.set(Group.objects.filter(name__in=kept))


def _set_role(user: User, scope: Scope, role: Role | None) -> None:
    place = _find(scope)
    if place is None:
        _log.warning("oidc_group_roles_unknown_place", scope=scope)
        return
    organization, project, environment = place
    held = Membership.objects.filter(
        user=user, organization=organization, project=project, environment=environment
    ).first()
    try:
        if held is None and role is not None:
            _record_first_sight(user, organization)
            add_member(
                actor=_ACTOR,
                user=user,
                role=role,
                organization=organization,
                project=project,
                environment=environment,
            )
        elif held is not None and role is None:
            remove_member(actor=_ACTOR, membership=held, reason="No group gives this role any more.")
        elif held is not None and role is not None:
            change_member(actor=_ACTOR, membership=held, role=role, version=None)
    except Conflict as error:
        # An organization keeps its last owner, whatever the provider says.
        _log.warning("oidc_role_kept", user=user.get_username(), scope=scope, problem=str(error))


def _find(scope: Scope) -> tuple[Organization, Project | None, Environment | None] | None:
    organization = Organization.objects.filter(slug=scope.organization).first()
    if organization is None:
        return None
    project = organization.projects.filter(key=scope.project).first() if scope.project else None
    environment = project.environments.filter(key=scope.environment).first() if project and scope.environment else None
    if (scope.project and project is None) or (scope.environment and environment is None):
        return None
    return organization, project, environment


def _record_first_sight(user: User, organization: Organization) -> None:
    """Record the new person in the log of an organization that it enters for the first time."""
    if Membership.objects.filter(user=user, organization=organization).exists():
        return
    audit.services.record(
        actor=_ACTOR,
        action="person.created",
        at=organization,
        key=user.get_username(),
        after={"username": user.get_username(), "email": user.email, "subject": user.sso_subject},
    )
