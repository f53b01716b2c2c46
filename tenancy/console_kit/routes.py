"""The routes of a family of pages, declared in one list. The kit makes the admin's URLs from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path

from tenancy.console_kit.context import bind_to_address, console_context
from tenancy.models import Environment
from tenancy.roles import Role

Page = Callable[..., HttpResponseBase]


class Family(Protocol):
    """What routes need of the admin that declares them: a ConsoleAdmin."""

    opts: Any
    admin_site: Any

    def find(self, request: HttpRequest, object_id: str) -> Any: ...

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool: ...


class About(Enum):
    """What a page is about. The kit finds it and hands it to the page as its second argument."""

    LIST = "the whole list: the page takes the request alone"
    PLACED_LIST = "the whole list, in the environment that `?environment=` names, where it names one"
    ENVIRONMENT = "the environment that `?environment=` names"
    OBJECT = "the object whose `object_id` is in the path"


@dataclass(frozen=True, slots=True)
class Route:
    """One page. `name` follows the model's name in the route's name; `role` is the role that the page needs, if any.

    With `in_project` the role must cover the whole project.
    """

    path: str
    name: str
    page: Page
    about: About = About.OBJECT
    role: Role | None = None
    in_project: bool = False


def patterns(family: Family, routes: Sequence[Route]) -> list[URLPattern]:
    names = family.opts
    return [
        path(
            route.path,
            family.admin_site.admin_view(_view(family, route)),
            name=f"{names.app_label}_{names.model_name}_{route.name}",
        )
        for route in routes
    ]


def _view(family: Family, route: Route) -> Page:
    """Find what the page is about, check the role and run the page."""

    def run(request: HttpRequest, **given: Any) -> HttpResponseBase:
        if route.about is About.OBJECT:
            thing = family.find(request, given.pop("object_id"))
            _require(request, route, thing)
            return route.page(request, thing, **given)
        is_placed = route.about is About.PLACED_LIST and bool(request.GET.get("environment"))
        if (is_placed or route.about is About.ENVIRONMENT) and (moved := bind_to_address(request)) is not None:
            return moved
        if not family.has_view_permission(request):
            raise PermissionDenied
        environment = console_context(request).environment
        _require(request, route, environment)
        if route.about in {About.LIST, About.PLACED_LIST}:
            return route.page(request, **given)
        if environment is None:
            raise Http404("There is no environment here.")
        return route.page(request, environment, **given)

    return run


def _require(request: HttpRequest, route: Route, thing: Model | None) -> None:
    """Raise PermissionDenied unless the role allows it."""
    if route.role is None:
        return
    if thing is None:
        raise PermissionDenied(f"This needs the role {route.role.label.lower()}.")
    context = console_context(request)
    environment: Any = thing if isinstance(thing, Environment) else getattr(thing, "environment", None)
    on = environment.project if route.in_project else thing
    if not context.may_on(route.role, on):
        raise PermissionDenied(f"This needs the role {route.role.label.lower()} in {on}.")
