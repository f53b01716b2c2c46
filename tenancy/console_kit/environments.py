"""What lists and pages of an environment's things share: tabs, members' roles and access."""

from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse

from tenancy.console_kit.admin import ConsoleAdmin, ConsoleList
from tenancy.console_kit.context import bind_to_address, console_context
from tenancy.models import Environment
from tenancy.roles import Role


class EnvironmentList(ConsoleList):
    """Shows the environment that `?environment=` names."""

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        found: dict[str, Any] = super().get_filters_params(params)
        found.pop("environment", None)
        return found

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        environment = console_context(request).environment
        self.environment, self.may_teach = environment, environment is not None
        return self.narrowed(super().get_queryset(request, exclude_parameters), environment)

    def narrowed(self, found: QuerySet[Any], environment: Environment | None) -> QuerySet[Any]:
        return found.filter(environment=environment)


class PerEnvironmentAdmin(ConsoleAdmin):
    """Lists the environment in view. Its editors may add things, on the page `create_in`."""

    list_before_template = "console/environment_tabs.html"
    is_added_in_environment = True

    def create_in(self, request: HttpRequest, environment: Environment) -> HttpResponse:  # noqa: ARG002 - a hook
        raise Http404("Nothing is added here.")

    def create(self, request: HttpRequest) -> HttpResponse:
        return self.create_in(request, environment_in_view(request))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[EnvironmentList]:  # noqa: ARG002 - Django's signature
        return EnvironmentList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        moved = bind_to_address(request)
        if moved is not None:
            return moved
        context = console_context(request)
        noun = str(self.opts.verbose_name_plural).capitalize()
        shown = {
            "title": f"{noun} in {context.environment}" if context.environment else noun,
            "environments": context.environments,
            "current_environment": context.environment,
        }
        return super().changelist_view(request, {**shown, **(extra_context or {})})

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may_edit(request)

    def has_edit_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may_edit(request, obj)


def may_edit(request: HttpRequest, thing: Any = None) -> bool:
    """Return whether this person is an editor in the thing's environment, or in the environment in view."""
    context = console_context(request)
    return context.may(Role.EDITOR, thing.environment if thing is not None else context.environment)


def environment_in_view(request: HttpRequest) -> Environment:
    """Return the environment in view. Raises Http404 for a person who has none."""
    environment = console_context(request).environment
    if environment is None:
        raise Http404("There is no environment here.")
    return environment


def environment_ids(request: HttpRequest) -> list[int]:
    """Return the environments that this person may see."""
    return [environment.pk for environment in console_context(request).environments]
