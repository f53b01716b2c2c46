"""The only door to a tenant's objects: a request gets each object here, or a 404.

The answer for another tenant's object is the same as for one that does not exist. A caller who sees the object, but
whose role is too low for the act, gets a 403.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TypeVar

from django.db.models import Q, QuerySet

from tenancy.callers.principals import Principal
from tenancy.errors import Forbidden, Invalid, OutOfReach
from tenancy.models import Environment, Membership, Organization, Project, User
from tenancy.roles import Role

Row = TypeVar("Row", Organization, Project, Environment)
_NOTHING = "There is no such object, or it belongs to another tenant."


def memberships(principal: Principal) -> QuerySet[Membership]:
    return Membership.objects.filter(user_id=principal.user_id) if principal.user_id else Membership.objects.none()


def organizations(principal: Principal) -> QuerySet[Organization]:
    """Return the organizations in which the caller has any role. A key sees its own organization."""
    if principal.is_key:
        return Organization.objects.filter(projects__environments__pk=principal.own_environment_id)
    found = Organization.objects.filter(memberships__in=memberships(principal)).distinct()
    return found.filter(pk=principal.organization_id) if principal.organization_id else found


def projects(principal: Principal) -> QuerySet[Project]:
    if principal.is_key:
        return Project.objects.filter(environments__pk=principal.own_environment_id)
    mine = memberships(principal)
    found = Project.objects.filter(
        Q(organization__in=mine.filter(project__isnull=True).values("organization"))
        | Q(pk__in=mine.filter(project__isnull=False).values("project"))
    )
    return found.filter(organization_id=principal.organization_id) if principal.organization_id else found


def environments(principal: Principal) -> QuerySet[Environment]:
    if principal.is_key:
        return Environment.objects.filter(pk=principal.own_environment_id)
    mine = memberships(principal)
    found = Environment.objects.filter(
        Q(project__organization__in=mine.filter(project__isnull=True).values("organization"))
        | Q(project__in=mine.filter(project__isnull=False, environment__isnull=True).values("project"))
        | Q(pk__in=mine.filter(environment__isnull=False).values("environment"))
    )
    return found.filter(project__organization_id=principal.organization_id) if principal.organization_id else found


def people_of(project: Project) -> QuerySet[User]:
    """Return the active persons with any role on the project, on one of its environments or on its organization."""
    roles = Membership.objects.filter(organization=project.organization_id)
    roles = roles.filter(Q(project__isnull=True) | Q(project=project))
    return User.objects.filter(is_active=True, service_of__isnull=True, pk__in=roles.values("user"))


def role_on(principal: Principal, thing: Environment | Project | Organization) -> Role | None:
    """Return the highest of the caller's roles on this thing or on what contains it."""
    if principal.is_key:
        return None
    mine = memberships_on(thing).filter(user_id=principal.user_id) if principal.user_id else Membership.objects.none()
    return max((Role(role) for role in mine.values_list("role", flat=True)), key=lambda role: role.rank, default=None)


def memberships_on(thing: Environment | Project | Organization) -> QuerySet[Membership]:
    """Return the roles that hold on this thing: on itself, and on what contains it."""
    match thing:
        case Environment():
            reach = (
                Q(environment=thing)
                | Q(project=thing.project_id, environment__isnull=True)
                | Q(organization=thing.project.organization_id, project__isnull=True)
            )
        case Project():
            reach = Q(project=thing, environment__isnull=True) | Q(
                organization=thing.organization_id, project__isnull=True
            )
        case Organization():
            reach = Q(organization=thing, project__isnull=True)
    return Membership.objects.filter(reach)


def roles_on(principal: Principal, environments: Iterable[Environment]) -> dict[int, Role | None]:
    """Return `role_on` of each environment by its id, from one query. Their projects are loaded."""
    rows = (
        [] if principal.is_key else memberships(principal).values_list("environment", "project", "organization", "role")
    )
    given: defaultdict[tuple[str, int], list[Role]] = defaultdict(list)
    for environment, project, organization, role in rows:
        place = (
            ("environment", environment)
            if environment is not None
            else ("project", project)
            if project is not None
            else ("organization", organization)
        )
        given[place].append(Role(role))
    found = {}
    for row in environments:
        places = (
            ("environment", row.pk), ("project", row.project_id), ("organization", row.project.organization_id)
        )  # fmt: skip
        roles = [role for place in places for role in given.get(place, ())]
        found[row.pk] = max(roles, key=lambda role: role.rank, default=None)
    return found


def require(principal: Principal, thing: Environment | Project | Organization, needs: Role | None) -> None:
    """Raise Forbidden unless the caller has at least the role `needs` on the thing. None asks for no role."""
    if needs is None:
        return
    role = role_on(principal, thing)
    if role is None or not role.covers(needs):
        raise Forbidden(
            "This key may evaluate and send events; use a management token to read or change anything."
            if principal.is_key
            else f"This needs the role {needs.value} on {thing}; yours is {role.value if role else 'none'}."
        )


def audit_scope(principal: Principal) -> Q:
    """Which rows of the audit log the caller may see: those of what it has a role on.

    A role on the organization sees every row. A role on one environment sees what happened there, and in its project
    as a whole.
    """
    seen = Q(pk__in=[])
    for membership in memberships(principal).select_related("project", "environment"):
        scope = Q(organization_id=membership.organization_id)
        if membership.project is not None:
            scope &= Q(project=membership.project.key)
        if membership.environment is not None:
            scope &= Q(environment__in=["", membership.environment.key])
        seen |= scope
    return seen


def get_organization(
    principal: Principal, slug: str | None = None, *, needs: Role | None = Role.VIEWER
) -> Organization:
    """Return the organization of a request, implied where there is only one. With `needs` None any role will do.

    Raises OutOfReach, Forbidden, or Invalid (code `ambiguous`, naming the choices).
    """
    found = organizations(principal)
    row = _only(
        found if slug is None else found.filter(slug=slug),
        lambda rows: ("organization", [row.slug for row in rows]),
    )
    require(principal, row, needs)
    return row


def get_project(principal: Principal, key: str | None = None, *, needs: Role | None = Role.VIEWER) -> Project:
    """Return the project of a request, which may be left out where there is only one. Raises as `get_organization`."""
    found = projects(principal).select_related("organization")
    row = _only(
        found if key is None else found.filter(key=key), lambda rows: ("project", sorted({row.key for row in rows}))
    )
    require(principal, row, needs)
    return row


def get_environment(
    principal: Principal,
    *,
    project: str | None = None,
    environment: str | None = None,
    needs: Role | None = Role.VIEWER,
) -> Environment:
    """Return the environment a request is about, checking that the caller has at least the role `needs` there.

    A key names its own. Otherwise `project` and `environment` are keys, and may be left out where there is only one to
    choose from. Raises as `get_organization`.
    """
    found = environments(principal).select_related("project__organization")
    if project is not None:
        found = found.filter(project__key=project)
    if environment is not None:
        found = found.filter(key=environment)
    row = _only(found, _environment_choices)
    require(principal, row, needs)
    return row


def _environment_choices(rows: list[Environment]) -> tuple[str, list[str]]:
    if len({row.project_id for row in rows}) == 1:
        return "environment", sorted(row.key for row in rows)
    return "project", sorted({row.project.key for row in rows})


def _only(found: QuerySet[Row], choices: Callable[[list[Row]], tuple[str, list[str]]]) -> Row:
    """Return the one row there is; `choices` names the parameter that tells several rows apart, and its values."""
    rows = list(found[:51])
    if not rows:
        raise OutOfReach(_NOTHING)
    if len(rows) > 1:
        attr, values = choices(rows)
        raise Invalid(
            f"More than one {attr} is possible; add ?{attr}= with one of: {', '.join(values)}.",
            attr=attr,
            code="ambiguous",
        )
    return rows[0]
