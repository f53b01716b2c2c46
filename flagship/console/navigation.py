"""The console's pages, and which of them a person sees. A page that would refuse the person is left out."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse
from django.utils.module_loading import import_string

from tenancy.console_kit.context import console_context
from tenancy.console_kit.pages import in_environment
from tenancy.roles import Role


@dataclass(frozen=True, slots=True)
class Page:
    title: str
    icon: str
    url: str


def may_see_keys(request: HttpRequest) -> bool:
    context = console_context(request)
    return context.may_in(Role.ADMIN) or any(context.may(Role.ADMIN, row) for row in context.environments)


def may_see_service_accounts(request: HttpRequest) -> bool:
    return console_context(request).may_in(Role.ADMIN)


def may_edit(request: HttpRequest) -> bool:
    """Return whether the person may edit in the environment in view."""
    return console_context(request).may(Role.EDITOR, console_context(request).environment)


def is_owner(request: HttpRequest) -> bool:
    """In the environment in view."""
    return console_context(request).may(Role.OWNER, console_context(request).environment)


def may_make_flags(request: HttpRequest) -> bool:
    """Return whether the person may make flags in the project in view. A flag exists in each of its environments."""
    environment = console_context(request).environment
    return environment is not None and console_context(request).may_in_project(Role.EDITOR, environment.project)


def pages(request: HttpRequest) -> Iterator[Page]:
    """List the pages of the navigation, and the acts that create something, for the search to find by title."""
    # Settings build the navigation before the apps are loaded. They are loaded when this runs.
    from flagship.console.frame import SECTIONS  # noqa: PLC0415 - see above

    environment = console_context(request).environment
    for section in SECTIONS:
        for item in section["items"]:
            if "permission" not in item or import_string(item["permission"])(request):
                place = environment if item["is_about_environment"] else None
                yield Page(item["title"], item["icon"], in_environment(item["route"], place))
    if may_make_flags(request):
        yield Page("New flag", "add", in_environment("admin:flags_flagconfig_add", environment))
    if may_edit(request):
        yield Page("New experiment", "add", in_environment("admin:experiments_experiment_add", environment))
        yield Page("New segment", "add", in_environment("admin:flags_segment_add", environment))
        yield Page("Kill by tag", "emergency_home", in_environment("admin:flags_flagconfig_kill_tag", environment))
    if is_owner(request):
        yield Page("Kill every flag", "emergency_home", in_environment("admin:flags_flagconfig_kill_all", environment))
    yield Page("Change password", "password", reverse("admin:password_change"))
    yield Page("API reference", "api", reverse("docs"))
