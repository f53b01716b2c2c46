"""The list of flags: one environment at a time, with its tabs, filters and search."""

from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db import OperationalError
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest

from analytics.models import FlagUsage
from flags.lifecycle.evidence import lifecycles
from flags.models import Flag, FlagConfig, Rule
from flags.selectors import STATES, in_state
from flags.staleness import stale_pks
from tenancy.console_kit.context import console_context
from tenancy.console_kit.environments import EnvironmentList
from tenancy.models import Environment

_MOST_TAGS = 100


class FlagList(EnvironmentList):
    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[FlagConfig]:
        found = super().get_queryset(request, exclude_parameters)
        rules = Rule.objects.filter(config=OuterRef("pk")).order_by().values("config").annotate(total=Count("pk"))
        used = FlagUsage.objects.filter(environment_id=OuterRef("environment_id"), flag_key=OuterRef("flag__key"))
        last = used.order_by("-last_at")[:1]
        return found.annotate(
            rules_total=Coalesce(Subquery(rules.values("total")), 0),
            used_at=Subquery(last.values("last_at")),
            used_by=Subquery(last.values("source__service")),
        )

    def get_results(self, request: HttpRequest) -> None:
        """Add the stage to the page's rows, and mark stale ones; none while the store of events is away."""
        super().get_results(request)
        # A bulk act builds the list without showing it, and may be a kill.
        if self.environment is None or request.method != "GET":
            return
        rows = FlagConfig.objects.filter(pk__in=[row.pk for row in self.result_list])
        try:
            stale = stale_pks(self.environment, rows)
            known = lifecycles(self.environment.project, [row.flag for row in self.result_list])
        except OperationalError:
            # Flags are killed from this list. The health page says that the store is away.
            return
        by_flag = {each.flag.pk: each for each in known}
        for row in self.result_list:
            row.is_stale, row.known = row.pk in stale, by_flag[row.flag_id]


class StateFilter(SimpleListFilter):
    """Hides archived flags, unless this filter asks for them or a search may mean one."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002 - Django's signature
        return [("on", "On"), ("off", "Off"), ("killed", "Killed"), ("archived", "Archived"), ("all", "All")]

    def choices(self, changelist: Any) -> Any:
        for choice in super().choices(changelist):
            yield (
                {**choice, "display": "Active"}
                if choice["query_string"] == changelist.get_query_string(remove=[self.parameter_name])
                else choice
            )

    def queryset(self, request: HttpRequest, queryset: QuerySet[FlagConfig]) -> QuerySet[FlagConfig]:
        state = self.value() or ("all" if request.GET.get("q", "").strip() else "active")
        # None of them for a state that is none: all of them would look like an answer.
        return queryset.filter(in_state(state)) if state in STATES else queryset.none()


class TypeFilter(SimpleListFilter):
    title = "type"
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:  # noqa: ARG002 - Django's signature
        return Flag.Type.choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[FlagConfig]) -> QuerySet[FlagConfig]:  # noqa: ARG002 - likewise
        return queryset.filter(flag__type=self.value()) if self.value() else queryset


class TagFilter(SimpleListFilter):
    title = "tag"
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002 - Django's signature
        environment = console_context(request).environment
        if environment is None:
            return []
        return [(tag, tag) for tag in tags_in(environment)[:_MOST_TAGS]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[FlagConfig]) -> QuerySet[FlagConfig]:  # noqa: ARG002 - likewise
        return queryset.filter(flag__tags__contains=[self.value()]) if self.value() else queryset


def tags_in(environment: Environment) -> list[str]:
    """Return the tags of the project's active flags."""
    rows = Flag.objects.filter(project=environment.project_id, is_archived=False).exclude(tags=[])
    return sorted({tag for tags in rows.order_by().values_list("tags", flat=True).distinct() for tag in tags})
