"""The list of flags: one environment at a time, with its tabs, filters and search."""

from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db import OperationalError
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from analytics.selectors import last_exposures
from analytics.usage.reading import last_uses
from flags.lifecycle.evidence import lifecycles
from flags.models import Flag, FlagConfig, Rule
from flags.selectors import STATES, in_state
from flags.staleness import stale_pks
from tenancy.console_kit.context import console_context
from tenancy.console_kit.environments import EnvironmentList
from tenancy.models import Environment

_MOST_TAGS = 100


class FlagList(EnvironmentList):
    def narrowed(self, found: QuerySet[Any], environment: Environment | None) -> QuerySet[Any]:
        """The project is the environment's anyway: named, it lets the index of its keys give the first page at once."""
        narrow = super().narrowed(found, environment)
        return narrow if environment is None else narrow.filter(flag__project=environment.project_id)

    def get_results(self, request: HttpRequest) -> None:
        """Add rules, last use and stage to the page's rows, and mark stale ones.

        There are no stages while the store of events is away.
        """
        super().get_results(request)
        # A bulk act builds the list without showing it, and may be a kill.
        if self.environment is None or request.method != "GET":
            return
        pks = [row.pk for row in self.result_list]
        rules = Rule.objects.filter(config__in=pks).order_by().values_list("config").annotate(total=Count("pk"))
        totals, uses = dict(rules), last_uses([self.environment.pk], [row.flag.key for row in self.result_list])
        for row in self.result_list:
            use = uses.get(row.flag.key)
            row.rules_total = totals.get(row.pk, 0)
            row.used_at, row.used_by = (use.at, use.source.service) if use else (None, "")
        rows = FlagConfig.objects.filter(pk__in=pks)
        try:
            stale = stale_pks(self.environment, rows)
            seen = last_exposures([self.environment.pk], [row.flag.key for row in self.result_list])
            known = lifecycles(self.environment.project, [row.flag for row in self.result_list])
        except OperationalError:
            # Flags are killed from this list. The health page says that the store is away.
            return
        by_flag = {each.flag.pk: each for each in known}
        for row in self.result_list:
            row.is_stale, row.known = row.pk in stale, by_flag[row.flag_id]
            at, _ = seen.get(row.flag.key, (None, None))
            if at is not None and (row.used_at is None or at > row.used_at):
                # An exposure names no service.
                row.used_at, row.used_by = at, None


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
