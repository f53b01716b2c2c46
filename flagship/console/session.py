"""Whether somebody is still signed in. A page asks this before it sends a form, so that no typed text is lost."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.template.response import TemplateResponse
from django.views.decorators.cache import never_cache


@never_cache
def now(request: HttpRequest) -> HttpResponse:
    """Return who is signed in in this browser and the CSRF token for their forms. The user is null if nobody is."""
    if not admin.site.has_permission(request):
        return JsonResponse({"user": None})
    return JsonResponse(
        {"user": str(request.user.pk), "name": request.user.get_username(), "csrfToken": get_token(request)}
    )


def signed_in(request: HttpRequest) -> HttpResponse:
    """Show the page to which signing in leads in a tab that another page opened for it."""
    request.current_app = admin.site.name
    context = {**admin.site.each_context(request), "title": "You are signed in"}
    return TemplateResponse(request, "console/signed_in.html", context)
