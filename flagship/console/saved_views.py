"""Saved views: the routes that store a list's filters under a name, and that delete a view."""

from typing import cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from tenancy.console_kit.context import bind_to_address, console_context
from tenancy.console_kit.forms import say_problems
from tenancy.console_kit.pages import in_environment
from tenancy.errors import ServiceError
from tenancy.models import User
from tenancy.services.saved_views import delete_view, save_view


class ViewForm(forms.Form):
    page = forms.CharField(max_length=100)
    name = forms.CharField(max_length=60)
    query = forms.CharField(max_length=2000, required=False)
    is_shared = forms.BooleanField(required=False)

    def clean_page(self) -> str:
        page: str = self.cleaned_data["page"]
        if page not in _lists():
            raise forms.ValidationError("There is no such list.")
        return page


def _lists() -> set[str]:
    models = admin.site._registry  # noqa: SLF001 - Django has no other list of them
    return {model._meta.label_lower.replace(".", "_") for model in models}  # noqa: SLF001 - likewise


@require_POST
def save(request: HttpRequest) -> HttpResponse:
    form = ViewForm(request.POST)
    if "environment" in request.POST:
        bind_to_address(request)
    context = console_context(request)
    if context.environment is None:
        raise PermissionDenied
    if not form.is_valid():
        messages.error(request, "Give the view a name of at most 60 characters.")
        return redirect("admin:index")
    sent = form.cleaned_data
    address = in_environment(f"admin:{sent['page']}_changelist", context.bound)
    joint = "&" if "?" in address else "?"
    try:
        view = save_view(user=cast(User, request.user), organization=context.environment.project.organization, **sent)
    except ServiceError as error:
        say_problems(request, error)
        return redirect(f"{address}{joint}{sent['query']}")
    messages.success(request, f"The view “{view}” is kept{' for everybody here' if view.is_shared else ''}.")
    return redirect(f"{address}{joint}{view.query}")


@require_POST
def forget(request: HttpRequest, pk: int) -> HttpResponse:
    if "environment" in request.POST:
        bind_to_address(request)
    delete_view(user=cast(User, request.user), pk=pk)
    messages.success(request, "The view is forgotten.")
    page = request.POST.get("page", "")
    address = f"admin:{page}_changelist" if page in _lists() else "admin:index"
    return redirect(in_environment(address, console_context(request).bound))
