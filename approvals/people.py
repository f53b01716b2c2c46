"""Who may do what with a change request, by roles and groups. Tenancy decides who has a role at all."""

from collections.abc import Iterable

from django.db.models import Q, QuerySet

from approvals.models import Policy
from audit.actors import Actor
from tenancy import access
from tenancy.models import Environment, User
from tenancy.roles import Role


def user_of(actor: Actor) -> User | None:
    """Return the person or service account behind an actor; the platform itself is none."""
    if actor.kind != "user" or not actor.id.isdecimal():
        return None
    return User.objects.filter(pk=int(actor.id), is_active=True).first()


def among(environment: Environment, *, roles: Iterable[str], groups: Iterable[str] = ()) -> QuerySet[User]:
    """Return who has one of the roles there, or a stronger one, or any role and is in one of the groups."""
    wanted, members = [Role(role) for role in roles], access.memberships_on(environment)
    covering = [role for role in Role if any(role.covers(one) for one in wanted)]
    found = Q(pk__in=members.filter(role__in=covering).values("user"))
    if named := list(groups):
        groups_of = User.groups.through.objects.filter(group__name__in=named)
        found |= Q(pk__in=members.values("user")) & Q(pk__in=groups_of.values("user"))
    return User.objects.filter(found, is_active=True)


def is_among(user: User | None, environment: Environment, *, roles: Iterable[str], groups: Iterable[str] = ()) -> bool:
    return user is not None and among(environment, roles=roles, groups=groups).filter(pk=user.pk).exists()


def approvers(environment: Environment, policy: Policy) -> QuerySet[User]:
    """Return whose approvals count. A service account is nobody's second pair of eyes: it answers as a check."""
    found = among(environment, roles=policy.approver_roles, groups=policy.approver_groups)
    return found.filter(service_of__isnull=True)


def may_approve(user: User | None, environment: Environment, policy: Policy) -> bool:
    return user is not None and approvers(environment, policy).filter(pk=user.pk).exists()


def is_check(user: User | None, policy: Policy) -> bool:
    return user is not None and user.is_service and user.get_username() in policy.checks


def may_object(user: User | None, environment: Environment, policy: Policy) -> bool:
    """Whoever may approve may object, and so may whoever may change things here."""
    return (
        may_approve(user, environment, policy)
        or is_check(user, policy)
        or is_among(user, environment, roles=[Role.EDITOR])
    )
