"""What every admin page of ours stands on: permissions by role, objects through the door, writes by service."""

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import messages
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from tenancy.admin.visit import visit
from tenancy.errors import Problem, ServiceError


class ConsoleList(ChangeList):
    """Counts what fits the filters, and nothing else: a second count over the whole table is slow and says little."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.full_result_count = self.result_count


class ConsoleAdmin(ModelAdmin):
    """Nothing may be added, changed or deleted unless a page says who may; members may look.

    Django's own model permissions are not asked: roles decide, and a superuser without a membership sees no tenant.
    """

    show_full_result_count = False
    list_per_page = 50
    actions: Any = None

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:  # noqa: ARG002 - Django's signature
        return ConsoleList

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(visit(request).organizations)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002 - Django's signature
        return self.has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - likewise
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002 - likewise
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002 - likewise
        return False

    def page(
        self, request: HttpRequest, template: str, *, title: str, status: int = 200, **context: Any
    ) -> TemplateResponse:
        """A page of our own inside the console's frame."""
        request.current_app = self.admin_site.name  # as Django's own admin views set it
        return TemplateResponse(
            request, template, {**self.admin_site.each_context(request), "title": title, **context}, status=status
        )

    def form_page(
        self,
        request: HttpRequest,
        form: BaseForm,
        perform: Callable[[dict[str, Any]], HttpResponse],
        *,
        title: str,
        submit: str,
        names: dict[str, str] | None = None,
        **context: Any,
    ) -> HttpResponse:
        """Show a form; once sent and sound, hand its data to `perform`. What it refuses comes back beside its field."""
        status = 200
        if request.method == "POST":
            if form.is_valid():
                try:
                    return perform(form.cleaned_data)
                except ServiceError as error:
                    add_problems(form, error, names)
            status = 422
        return self.page(
            request,
            "console/form.html",
            title=title,
            status=status,
            form=form,
            submit=submit,
            cancel_url=self.list_url(),
            **context,
        )

    def list_url(self) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")


def problems_by_attr(problems: Iterable[Problem]) -> dict[str, list[str]]:
    """Group messages by the field they are about; those about none come under the empty name."""
    grouped: dict[str, list[str]] = {}
    for problem in problems:
        grouped.setdefault(problem.attr or "", []).append(problem.detail)
    return grouped


def add_problems(form: BaseForm, error: ServiceError, names: dict[str, str] | None = None) -> None:
    """Put a service's problems next to the form's fields; `names` maps the service's name of a field to the form's."""
    for problem in error.problems:
        name = (names or {}).get(problem.attr or "", problem.attr)
        form.add_error(name if name in form.fields else None, problem.detail)


def say_problems(request: HttpRequest, error: ServiceError) -> None:
    for problem in error.problems:
        messages.error(request, problem.detail)
