"""Pages of the console's frame about experiments, and where the list of experiments is."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse


def console_page(
    request: HttpRequest, template: str, *, title: str, status: int = 200, **context: Any
) -> TemplateResponse:
    """Return a page of our own inside the console's frame."""
    request.current_app = admin.site.name  # as Django's own admin views set it
    shown = {**admin.site.each_context(request), "title": title, **context}
    return TemplateResponse(request, template, shown, status=status)


def list_url() -> str:
    return reverse("admin:experiments_experiment_changelist")
