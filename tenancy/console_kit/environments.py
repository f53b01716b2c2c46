"""What lists and pages of one environment's things have in common: its tabs, its members' roles, its door."""

from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse

from tenancy.console_kit.base import ConsoleAdmin, ConsoleList
from tenancy.console_kit.context import console_context
from tenancy.models import Environment, Role


class EnvironmentList(ConsoleList):
    """Shows the environment in view; `?environment=` names another."""

    has_environment = False

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        found: dict[str, Any] = super().get_filters_params(params)
        found.pop("environment", None)
        return found

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        environment = console_context(request).environment
        self.has_environment = environment is not None
        return super().get_queryset(request, exclude_parameters).filter(environment=environment)


class PerEnvironmentAdmin(ConsoleAdmin):
    """Lists the environment in view; its editors may add."""

    list_before_template = "flags/environment_tabs.html"
    empty_template = ""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[EnvironmentList]:  # noqa: ARG002 - Django's signature
        return EnvironmentList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        looking = console_context(request)
        noun = str(self.opts.verbose_name_plural).capitalize()
        if looking.environment is not None:
            looking.remember(looking.environment)
        shown = {
            "title": f"{noun} in {looking.environment}" if looking.environment else noun,
            "environments": looking.environments,
            "current_environment": looking.environment,
            "empty": self.empty_template,
        }
        return super().changelist_view(request, {**shown, **(extra_context or {})})

    def has_add_permission(self, request: HttpRequest) -> bool:
        return console_context(request).may(Role.EDITOR, console_context(request).environment)

    def has_edit_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        environment = obj.environment if obj is not None else console_context(request).environment
        return console_context(request).may(Role.EDITOR, environment)

    def environment_of(self, request: HttpRequest) -> Environment:
        """Raises Http404 for somebody who has none."""
        environment = console_context(request).environment
        if environment is None:
            raise Http404("There is no environment here.")
        return environment
