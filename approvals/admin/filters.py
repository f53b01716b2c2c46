"""The list of change requests: whose they are, for whom they wait, and what they touch."""

from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest

from approvals.attention import reviewer_in
from approvals.models import ChangeRequest
from approvals.selectors import requests_in, touching
from approvals.services.standing import Say
from tenancy.console_kit.context import console_context
from tenancy.console_kit.environments import EnvironmentList
from tenancy.models import Environment

_MOST = 200


class RequestList(EnvironmentList):
    """Those of the environment, and those that ask for a review there."""

    def narrowed(self, found: QuerySet[Any], environment: Environment | None) -> QuerySet[Any]:
        if environment is None:
            return found.none()
        return found.filter(pk__in=requests_in([environment]).order_by().values("pk"))

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        say = Say()
        for thing in self.result_list:
            thing.say = say


def _here(request: HttpRequest) -> QuerySet[ChangeRequest]:
    environment = console_context(request).environment
    return requests_in([environment] if environment is not None else [])


class ForMeFilter(SimpleListFilter):
    title = "for me"
    parameter_name = "mine"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002 - Django's signature
        return [("review", "Mine to review"), ("author", "Proposed by me"), ("reviewed", "Reviewed by me")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ChangeRequest]) -> QuerySet[ChangeRequest]:
        context, value = console_context(request), self.value()
        if not value:
            return queryset
        if value == "author":
            return queryset.filter(author=context.principal.user_id)
        if value == "reviewed":
            return queryset.filter(reviews__reviewer=context.principal.user_id).distinct()
        environment = context.environment
        reviewer = reviewer_in(context.principal, environment) if environment is not None else None
        if reviewer is None or value != "review":
            return queryset.none()
        waiting = _here(request).filter(state=ChangeRequest.State.OPEN)[:_MOST]
        return queryset.filter(pk__in=[one.pk for one in waiting if reviewer.is_asked(one)])


class AuthorFilter(SimpleListFilter):
    title = "author"
    parameter_name = "author"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002 - Django's signature
        names = _here(request).order_by("author_label").values_list("author_label", flat=True).distinct()
        return [(name, name) for name in names[:_MOST]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ChangeRequest]) -> QuerySet[ChangeRequest]:  # noqa: ARG002 - likewise
        return queryset.filter(author_label=self.value()) if self.value() else queryset


class TouchingFilter(SimpleListFilter):
    """What a request changes or serves otherwise, as `flag:new-checkout`."""

    title = "what it touches"
    parameter_name = "touching"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002 - Django's signature
        found = {
            (str(part["entity"]), str(part["key"]))
            for parts in _here(request).values_list("parts", flat=True)[:_MOST]
            for part in parts
        }
        chosen = self.value()
        if chosen and ":" in chosen:
            kind, _, key = chosen.partition(":")
            found.add((kind, key))
        return [(f"{kind}:{key}", f"{kind} {key}") for kind, key in sorted(found)[:_MOST]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ChangeRequest]) -> QuerySet[ChangeRequest]:  # noqa: ARG002 - likewise
        if not self.value():
            return queryset
        kind, _, key = str(self.value()).partition(":")
        return touching(queryset, kind, key)
