"""Our own pages inside the console's frame, and the addresses of lists and objects."""

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse

from tenancy.console_kit.context import console_context


def console_page(
    request: HttpRequest, template: str, *, title: str, status: int = 200, **shown: Any
) -> TemplateResponse:
    request.current_app = admin.site.name  # as Django's own admin views set it
    trail = [step for step in console_context(request).trail if step[1] != request.path]
    shown = {**admin.site.each_context(request), "title": title, "trail": trail, **shown}
    return TemplateResponse(request, template, shown, status=status)


def route_name(model: type[Model] | Model, page: str) -> str:
    """Return the name of a model's page among the admin's routes."""
    options = model._meta  # noqa: SLF001 - Django's own way to a model's names
    return f"admin:{options.app_label}_{options.model_name}_{page}"


def list_url(model: type[Model] | Model, *, environment: Model | None = None) -> str:
    """Return the address of the list: that of the environment given, or of the thing's own."""
    if environment is None and isinstance(model, Model):
        environment = _environment_of(model)
    return in_environment(route_name(model, "changelist"), environment)


def _environment_of(thing: Model) -> Model | None:
    # What may have an environment, such as a key or a role, is listed for the whole organization.
    fields = (field for field in thing._meta.fields if field.name == "environment" and not field.null)  # noqa: SLF001 - as above
    return getattr(thing, "environment", None) if next(fields, None) is not None else None


def in_environment(route: str, environment: Model | None) -> str:
    """Return the address of a page that is about an environment."""
    url = reverse(route)
    return f"{url}?environment={environment.pk}" if environment is not None else url


def object_url(thing: Model, page: str = "change", *given: Any) -> str:
    return reverse(route_name(thing, page), args=[thing.pk, *given])
