"""Who may do what with a change request, by roles and groups. Tenancy decides who has a role at all."""

from collections.abc import Iterable

from approvals.models import Policy
from audit.actors import Actor
from tenancy import access
from tenancy.callers.principals import principal_of_user
from tenancy.models import Environment, User
from tenancy.roles import Role


def user_of(actor: Actor) -> User | None:
    """Return the person or service account behind an actor; the platform itself is none."""
    if actor.kind != "user" or not actor.id.isdecimal():
        return None
    return User.objects.filter(pk=int(actor.id), is_active=True).first()


def role_of(user: User | None, environment: Environment) -> Role | None:
    if user is None or not user.is_active:
        return None
    return access.role_on(principal_of_user(user), environment)


def is_among(user: User | None, environment: Environment, *, roles: Iterable[str], groups: Iterable[str] = ()) -> bool:
    """Whether somebody has one of the roles there, or a stronger one, or any role and is in one of the groups."""
    role = role_of(user, environment)
    if user is None or role is None:
        return False
    if any(role.covers(Role(wanted)) for wanted in roles):
        return True
    named = list(groups)
    return bool(named) and user.groups.filter(name__in=named).exists()


def may_approve(user: User | None, environment: Environment, policy: Policy) -> bool:
    """Whether somebody's approval counts. A service account is nobody's second pair of eyes: it answers as a check."""
    if user is not None and user.is_service:
        return False
    return is_among(user, environment, roles=policy.approver_roles, groups=policy.approver_groups)


def is_check(user: User | None, policy: Policy) -> bool:
    return user is not None and user.is_service and user.get_username() in policy.checks


def may_object(user: User | None, environment: Environment, policy: Policy) -> bool:
    """Whoever may approve may object, and so may whoever may change things here."""
    return (
        may_approve(user, environment, policy)
        or is_check(user, policy)
        or is_among(user, environment, roles=[Role.EDITOR])
    )
