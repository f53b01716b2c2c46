"""Whether somebody is still signed in: what a page asks before it sends a form, so that nothing typed is lost."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.template.response import TemplateResponse
from django.views.decorators.cache import never_cache


@never_cache
def now(request: HttpRequest) -> HttpResponse:
    """Who is signed in in this browser, and the token that forms sent by them need; no user where nobody is."""
    if not admin.site.has_permission(request):
        return JsonResponse({"user": None})
    return JsonResponse(
        {"user": str(request.user.pk), "name": request.user.get_username(), "csrfToken": get_token(request)}
    )


def signed_in(request: HttpRequest) -> HttpResponse:
    """Where signing in leads to in the tab that a page opened for it."""
    request.current_app = admin.site.name
    context = {**admin.site.each_context(request), "title": "You are signed in"}
    return TemplateResponse(request, "console/signed_in.html", context)
