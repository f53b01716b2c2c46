"""Filters of the list of flags by stage, kind, owner and team."""

from typing import Any

from django.contrib import messages
from django.contrib.admin import SimpleListFilter
from django.db import OperationalError
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from django.http import HttpRequest

from flags.lifecycle.overview import overview_of
from flags.lifecycle.stages import Stage
from flags.models import Flag, FlagConfig
from flags.selectors import owners_in, teams_in
from tenancy.console_kit.context import console_context
from tenancy.models import Project

_MOST = 100


class StageFilter(SimpleListFilter):
    """Asks for the stages of the whole project. The state filter shows archived flags."""

    title = "stage"
    parameter_name = "stage"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002 - Django's signature
        return [(stage.value, stage.label.capitalize()) for stage in Stage if stage is not Stage.ARCHIVED]

    def queryset(self, request: HttpRequest, queryset: QuerySet[FlagConfig]) -> QuerySet[FlagConfig]:
        project = _project(request)
        if not self.value() or project is None:
            return queryset
        try:
            found = overview_of(project).flags
        except OperationalError:
            messages.error(request, "The store of events cannot be reached, so no flag's stage is known at present.")
            return queryset.none()
        # None of them for a stage that is none: all of them would look like an answer.
        asked = [pk for stage, pks in found.items() if stage == self.value() for pk in pks]
        # One parameter: thousands of them take longer to write into each statement than the page.
        return queryset.filter(flag__in=RawSQL("SELECT unnest(%s::bigint[])", [asked]))


class _ColumnFilter(SimpleListFilter):
    """Flags whose own column has the value."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[FlagConfig]) -> QuerySet[FlagConfig]:  # noqa: ARG002 - Django's signature
        return queryset.filter(**{f"flag__{self.parameter_name}": self.value()}) if self.value() else queryset


class KindFilter(_ColumnFilter):
    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:  # noqa: ARG002 - Django's signature
        return Flag.Kind.choices


class OwnerFilter(_ColumnFilter):
    title = "owner"
    parameter_name = "owner"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002 - Django's signature
        project = _project(request)
        return [(name, name) for name in owners_in(project)[:_MOST]] if project else []


class TeamFilter(_ColumnFilter):
    title = "team"
    parameter_name = "team"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002 - Django's signature
        project = _project(request)
        return [(name, name) for name in teams_in(project)[:_MOST]] if project else []


def _project(request: HttpRequest) -> Project | None:
    environment = console_context(request).environment
    return environment.project if environment is not None else None
