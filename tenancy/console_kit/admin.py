"""The base of every model's pages: permissions by role, objects through `access`, and pages as plain functions."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, cast

from django.contrib.admin import SimpleListFilter, helpers
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils.html import format_html
from unfold.admin import ModelAdmin, checkbox
from unfold.decorators import display
from unfold.templatetags import unfold_list
from unfold.views import ChangeList

from tenancy.console_kit.context import bind_to_address, console_context
from tenancy.console_kit.pages import list_url, object_url
from tenancy.console_kit.removal import Removal
from tenancy.console_kit.routes import Route, patterns
from tenancy.models import Environment

_made_headers = unfold_list.result_headers


def _headers_once(listed: ChangeList) -> list[dict[str, Any]]:
    """The theme makes all headers of a list anew with each of its rows, a fifth of a page's time."""
    if not hasattr(listed, "_headers"):
        listed._headers = list(_made_headers(listed))  # noqa: SLF001 - kept with what they are of
    return cast("list[dict[str, Any]]", listed._headers)  # noqa: SLF001 - likewise


unfold_list.result_headers = _headers_once


@cache
def _checkbox() -> str:
    """The theme's box that selects a row, made once, with a place for the row's key."""
    return checkbox.render(helpers.ACTION_CHECKBOX_NAME, "{}")


@dataclass(frozen=True, slots=True)
class EmptyList:
    """The text of an empty list: what the things are for, and how to begin.

    `act` is the button for people who may create one. Everybody else reads `otherwise`.
    """

    title: str
    text: str
    act: str = "Create the first one"
    otherwise: str = ""


class ConsoleList(ChangeList):
    """Counts the rows that match the filters. A second count over the whole table would be slow and say little."""

    # A list that needs an environment shows no such text where there is none.
    may_teach = True

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.full_result_count = self.result_count
        # The theme would look up the route of each row's address, to find whether the filters go there. They do.
        self._filters: str = self.preserved_filters  # type: ignore[has-type]  # django-stubs does not know it
        self.preserved_filters = ""

    def url_for_result(self, result: Model) -> str:
        url = super().url_for_result(result)
        return f"{url}?{self._filters}" if self._filters else url


class ConsoleAdmin(ModelAdmin):
    """Members may look. Nothing may be added, changed or deleted unless a page allows it.

    `create` is the page of a new object and `show` that of an existing one. `routes` are all other pages, and `removal`
    deletes the object. Roles decide, not Django's model permissions: a superuser without a membership sees no tenant.
    """

    show_full_result_count = False
    list_per_page = 50
    actions: Any = None
    routes: ClassVar[Sequence[Route]] = ()
    removal: ClassVar[Removal[Any] | None] = None
    empty: ClassVar[EmptyList | None] = None
    # Whether a new object is made in an environment, or in its project: the address of the page names it.
    is_added_in_environment = False

    @display(description=getattr(ModelAdmin.action_checkbox, "short_description"))  # noqa: B009 - set by the theme
    def action_checkbox(self, obj: Model) -> str:
        return format_html(_checkbox(), obj.pk)

    def create(self, request: HttpRequest) -> HttpResponse:  # noqa: ARG002 - a hook
        """Show the page of a new object to people whom `has_add_permission` lets in."""
        raise Http404("Nothing is added here.")

    def show(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show Django's own page of fields, read only, unless a page of ours replaces it."""
        return cast(HttpResponse, super().changeform_view(request, str(thing.pk)))

    def find(self, request: HttpRequest, object_id: str) -> Any:
        """Return the object. Raises Http404 if it does not exist or is another tenant's."""
        thing: Model | None = self.get_object(request, unquote(object_id))
        if thing is None:
            raise Http404(f"There is no such {self.opts.verbose_name}, or it belongs to another tenant.")
        environment = getattr(thing, "environment", None)
        if self.is_added_in_environment and isinstance(environment, Environment):
            console_context(request).bind(environment)
        self._lead_here(request, self.crumb(thing), object_url(thing))
        return thing

    def crumb(self, thing: Any) -> str:
        """Return what an object is called on the way to its pages."""
        return str(thing)

    def _lead_here(self, request: HttpRequest, *last: str) -> None:
        """Note the way to a page: the list as it was filtered, and the object."""
        context = console_context(request)
        address = list_url(self.model, environment=context.bound if self.is_added_in_environment else None)
        kept = request.GET.get("_changelist_filters", "")
        title = str(self.opts.verbose_name_plural).capitalize()
        context.trail = [(title, f"{address.partition('?')[0]}?{kept}" if kept else address)]
        if last:
            context.trail.append((last[0], last[1]))

    def get_urls(self) -> list[URLPattern]:
        return [*patterns(self, self.routes), *super().get_urls()]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:  # noqa: ARG002 - Django's signature
        """Only what the list's own filters declare: any other lookup is a query of the caller's making."""
        return any(pattern.fullmatch(lookup) for pattern in self._declared_lookups(request))

    def _declared_lookups(self, request: HttpRequest | None) -> Iterator[re.Pattern[str]]:
        for declared in self.get_list_filter(cast(HttpRequest, request)):
            if isinstance(declared, type) and issubclass(declared, SimpleListFilter):
                yield re.compile(re.escape(str(declared.parameter_name)))
            else:
                path = declared if isinstance(declared, str) else cast(tuple[str, Any], declared)[0]
                yield re.compile(rf"{re.escape(path)}(__exact|__isnull|_(from|to)(_zone|_shown)?)")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:  # noqa: ARG002 - Django's signature
        return ConsoleList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        title = str(self.opts.verbose_name_plural).capitalize()
        return cast(HttpResponse, super().changelist_view(request, {"title": title, **(extra_context or {})}))

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",  # noqa: ARG002 - Django's signature
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002 - likewise
    ) -> HttpResponse:
        if object_id is not None:
            return self.show(request, self.find(request, object_id))
        if self.is_added_in_environment and (moved := bind_to_address(request)) is not None:
            return moved
        if not self.has_add_permission(request):
            raise PermissionDenied
        self._lead_here(request)
        return self.create(request)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:  # noqa: ARG002 - likewise
        if self.removal is None:
            raise PermissionDenied
        return self.removal.page(request, self.find(request, object_id))

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:  # noqa: ARG002 - likewise
        raise Http404("What was done to it stands in the audit log.")

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
