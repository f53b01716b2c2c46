"""Experiments by name in the audit log, which knows them by their ids."""

from collections.abc import Collection

from django.db.models import QuerySet
from django.http import HttpRequest

from experiments.models import Experiment
from experiments.services.keys import is_id
from tenancy.admin.named_things import Naming, register_naming
from tenancy.console_kit.context import console_context

_MOST_FOUND = 200


def _visible(request: HttpRequest) -> QuerySet[Experiment]:
    return Experiment.objects.filter(environment__in=console_context(request).environments)


def _names(request: HttpRequest, ids: Collection[str]) -> dict[str, str]:
    rows = _visible(request).filter(pk__in=[text for text in ids if is_id(text)])
    return {str(pk): name for pk, name in rows.values_list("pk", "name")}


def _found(request: HttpRequest, text: str) -> list[str]:
    rows = _visible(request).filter(name__icontains=text)
    return [str(pk) for pk in rows.values_list("pk", flat=True)[:_MOST_FOUND]]


def register() -> None:
    register_naming("experiment", Naming(_names, _found))
