"""Who opens a console page, in which environment, and what their roles allow there. It is computed once a request."""

from functools import cached_property
from typing import Any, cast

from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect

from audit.actors import Actor
from tenancy import access
from tenancy.callers.principals import Principal, principal_of_user
from tenancy.callers.request_ids import request_id_of
from tenancy.models import Environment, Membership, Organization, Project, User
from tenancy.roles import Role

_SESSION_KEY = "console_environment"


class ConsoleContext:
    """The tenants as one request sees them. Everything it offers comes from `tenancy.access`."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._roles: dict[int, Role | None] = {}
        self._project_roles: dict[int, Role | None] = {}
        # The environment that this page is about; None where it is about none, or it is not known yet.
        self.bound: Environment | None = None
        # The way to this page: titles and addresses, the list first. It is shown above the page.
        self.trail: list[tuple[str, str]] = []

    @cached_property
    def principal(self) -> Principal:
        return principal_of_user(cast(User, self._request.user), request_id=request_id_of(self._request))

    @property
    def actor(self) -> Actor:
        return self.principal.actor

    @cached_property
    def environments(self) -> list[Environment]:
        return list(access.environments(self.principal).select_related("project__organization"))

    @property
    def environment(self) -> Environment | None:
        """Return the environment that the page is about. A page about none offers the one viewed last, else the first.

        Only addresses of other pages may be made of the latter. What is written is always bound.
        """
        return self.bound or self._viewed_last

    @cached_property
    def _viewed_last(self) -> Environment | None:
        last = self._request.session.get(_SESSION_KEY)
        found = (environment for environment in self.environments if environment.pk == last)
        return next(found, None) or next(iter(self.environments), None)

    def bind(self, environment: Environment) -> None:
        """Say which environment the page is about. Raises BadRequest for a form that was opened in another one."""
        sent = self._request.POST.get("environment") if self._request.method == "POST" else None
        if sent not in {None, str(environment.pk)}:
            raise BadRequest(
                f"This form was opened in another environment than {environment}. Nothing is saved. Load it anew."
            )
        self.bound = environment
        if self._request.session.get(_SESSION_KEY) != environment.pk:
            self._request.session[_SESSION_KEY] = environment.pk

    def role_on(self, environment: Environment) -> Role | None:
        if not self._roles:
            self._roles = access.roles_on(self.principal, self.environments)
        if environment.pk not in self._roles:
            self._roles[environment.pk] = access.role_on(self.principal, environment)
        return self._roles[environment.pk]

    def may(self, needed: Role, environment: Environment | None) -> bool:
        role = self.role_on(environment) if environment is not None else None
        return role is not None and role.covers(needed)

    def may_on(self, needed: Role, thing: Any) -> bool:
        """Return whether the role allows it on an environment, a project, or a thing in an environment."""
        if isinstance(thing, Project):
            return self.may_in_project(needed, thing)
        return self.may(needed, thing if isinstance(thing, Environment) else thing.environment)

    def may_in_project(self, needed: Role, project: Project) -> bool:
        """Return whether the role covers the whole project.

        A change that reaches each of its environments needs this.
        """
        if project.pk not in self._project_roles:
            self._project_roles[project.pk] = access.role_on(self.principal, project)
        role = self._project_roles[project.pk]
        return role is not None and role.covers(needed)

    def require_in_project(self, needed: Role, project: Project) -> None:
        """Raise Forbidden, as the API does for the same change."""
        access.require(self.principal, project, needed)

    @cached_property
    def organizations(self) -> list[Organization]:
        return list(access.organizations(self.principal))

    @cached_property
    def organization_roles(self) -> dict[int, Role]:
        """Return the roles on whole organizations, by the organization's id."""
        rows = Membership.objects.filter(user=self.principal.user_id, project__isnull=True)
        return {row.organization_id: Role(row.role) for row in rows}

    def may_in(self, needed: Role, organization_id: int | None = None) -> bool:
        """Return whether the role covers `needed` on that organization, or on any if none is named."""
        roles = self.organization_roles
        found = (
            roles.values() if organization_id is None else [roles[organization_id]] if organization_id in roles else []
        )
        return any(role.covers(needed) for role in found)


def console_context(request: HttpRequest) -> ConsoleContext:
    """Return the request's one ConsoleContext."""
    holder = cast(Any, request)
    if not hasattr(holder, "console_context"):
        holder.console_context = ConsoleContext(request)
    return cast(ConsoleContext, holder.console_context)


def bind_to_address(request: HttpRequest) -> HttpResponse | None:
    """Bind the page to the environment that its address names. Return a redirect to the address that names one.

    A page that is only looked at may be asked for without one: then it is that of the environment viewed last. A form
    names its environment, in its address or in a field. Raises Http404 for one that this person does not see.
    """
    context = console_context(request)
    named = request.GET.get("environment") or request.POST.get("environment")
    if named:
        found = next((row for row in context.environments if str(row.pk) == named), None)
        if found is None:
            raise Http404("There is no such environment, or you are no member of it.")
        context.bind(found)
    elif request.method not in {"GET", "HEAD"}:
        raise BadRequest("This form does not say which environment it is about. Nothing is saved. Open the page again.")
    elif context.environment is not None:
        query = request.GET.copy()
        query["environment"] = str(context.environment.pk)
        return redirect(f"{request.path}?{query.urlencode()}")
    return None
