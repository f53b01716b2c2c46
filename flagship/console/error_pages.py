"""What went wrong, in the console's frame: what it means, who can help, and a way back."""

from collections.abc import Mapping
from typing import Any, Final

import structlog
from django.contrib import admin
from django.core.exceptions import BadRequest, RequestDataTooBig, TooManyFieldsSent
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from tenancy.callers.request_ids import request_id_of
from tenancy.console_kit.context import console_context
from tenancy.console_kit.pages import console_page, in_environment
from tenancy.models import Membership
from tenancy.roles import Role

log = structlog.get_logger(__name__)
_MOST_NAMED = 5
# The title of each page, and what to do where nothing more is known.
_SAID: Final = {
    400: ("This cannot be read", "Nothing was changed. Load the page anew, and try it again from there."),
    403: ("You may not do this", "Nothing was changed."),
    404: ("Not found", "It may have been deleted, or it belongs to an organization that you are no member of."),
    500: ("Something broke here", "It is in the server's log under the request below. Nothing of yours was changed."),
    503: ("This takes too long now", "The server is busy. Try it again in a few seconds."),
}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, (TooManyFieldsSent, RequestDataTooBig)):
        return error_page(request, 400, "The page sent more than the server takes at once. Nothing was changed.")
    return error_page(request, 400, _message_of(exception) if isinstance(exception, BadRequest) else "")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_page(request, 403, _message_of(exception))


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_page(request, 404, _message_of(exception) if request.resolver_match else "")


def server_error(request: HttpRequest) -> HttpResponse:
    return error_page(request, 500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    log.info("form_without_token", path=request.path, reason=reason)
    said = "The form is older than your session, or came from another site. Nothing was changed. Load the page anew."
    return error_page(request, 403, said)


def error_page(request: HttpRequest, status: int, detail: str = "") -> HttpResponse:
    """Return the page. Without a person, or where the frame itself cannot be drawn, it stands alone."""
    title, means = _SAID[status]
    shown = {"title": title, "status": status, "detail": detail or means, "request_id": request_id_of(request)}
    try:
        # What is refused before anybody is signed in, such as a wrong Host, has no user.
        if hasattr(request, "user") and admin.site.has_permission(request):
            page = console_page(request, "console/error.html", **{**shown, **_ways_out(request, status)})
            page.render()
            return page
    except Exception:  # Whatever broke, such as the database, must not break the page that says so.
        log.warning("error_page_without_frame", status=status, exc_info=True)
    return HttpResponse(render_to_string("console/error_alone.html", shown), status=status)


def _ways_out(request: HttpRequest, status: int) -> Mapping[str, Any]:
    context = console_context(request)
    found: dict[str, Any] = {"home_url": in_environment("admin:index", context.bound)}
    if status != 403:
        return found
    environment = context.environment
    organization = environment.project.organization if environment else next(iter(context.organizations), None)
    if organization is None:
        return found
    role = context.role_on(environment) if environment else None
    helpers = Membership.objects.filter(
        organization=organization, project__isnull=True, role__in=[Role.ADMIN, Role.OWNER], user__is_active=True
    ).exclude(user__service_of__isnull=False)
    names = helpers.order_by("user__username").values_list("user__username", flat=True)[:_MOST_NAMED]
    place = environment or organization
    return {**found, "place": place, "role": Role(role).label if role else "", "helpers": list(names)}


def _message_of(exception: Exception) -> str:
    """Return what was raised with the error in words; Django's own errors carry other things."""
    said = exception.args[0] if exception.args else ""
    return said if isinstance(said, str) else ""
