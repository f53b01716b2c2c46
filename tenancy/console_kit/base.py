"""What every admin page of ours stands on: permissions by role, objects through the door, writes by service."""

import re
from collections.abc import Callable
from typing import Any, cast

from django.contrib import messages
from django.forms import BaseForm
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from tenancy.console_kit.context import console_context
from tenancy.errors import ServiceError


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
    # What a list says to whoever finds it empty: what the things are for, and how to begin.
    teaching = ""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:  # noqa: ARG002 - Django's signature
        return ConsoleList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        title = str(self.opts.verbose_name_plural).capitalize()
        return cast(HttpResponse, super().changelist_view(request, {"title": title, **(extra_context or {})}))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(console_context(request).organizations)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002 - Django's signature
        return self.has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - likewise
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002 - likewise
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002 - likewise
        return False

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:  # noqa: ARG002 - Django's signature
        raise Http404("What was done to it stands in the audit log.")

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
        merge: Callable[[dict[str, Any]], tuple[BaseForm, dict[str, Any]]] | None = None,
        **context: Any,
    ) -> HttpResponse:
        """Show a form; once sent and sound, hand its data to `perform`. What it refuses comes back beside its field.

        Where somebody else saved meanwhile, `merge` returns a form that holds both changes, and the notice of theirs.
        """
        status = 200
        if request.method == "POST":
            status = 422
            if form.is_valid():
                try:
                    return perform(form.cleaned_data)
                except ServiceError as error:
                    if merge is not None and error.problems[0].code == "version_conflict":
                        form, context["conflict"] = merge(form.cleaned_data)
                        submit, status = "Save both", 409
                    else:
                        add_problems(form, error, names)
        return self.page(
            request,
            "console/form.html",
            title=title,
            status=status,
            form=form,
            submit=submit,
            **{"cancel_url": self.list_url(), **context},
        )

    def list_url(self) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")


def sent_data(request: HttpRequest) -> QueryDict | None:
    """What a form is bound to: what was sent, though it were nothing; None where a page is only asked for."""
    return request.POST if request.method == "POST" else None


def add_problems(form: BaseForm, error: ServiceError, names: dict[str, str] | None = None) -> None:
    """Put a service's problems next to the form's fields; `names` maps the service's name of a field to the form's."""
    for problem in error.problems:
        # A path such as conditions.all[0].value is about the field it begins with.
        first = re.split(r"[.\[]", problem.attr or "", maxsplit=1)[0]
        name = (names or {}).get(first, first)
        # Nobody would see it beside a field that is hidden.
        is_shown = name in form.fields and not form[name].is_hidden
        form.add_error(name if is_shown else None, problem.detail)


def say_problems(request: HttpRequest, error: ServiceError) -> None:
    for problem in error.problems:
        messages.error(request, problem.detail)
