"""The context that every console page gets beside its own content, the login page included."""

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from tenancy.console_kit.context import console_context


def fill(request: HttpRequest) -> dict[str, Any]:
    """unfold's GLOBAL_CALLBACK."""
    if request.user.is_authenticated:
        return {"page_environment": console_context(request).bound}
    if not settings.OIDC_ISSUER:
        return {}
    after = urlencode({"next": request.GET.get("next") or reverse(settings.LOGIN_REDIRECT_URL)})
    url = f"{reverse('oidc_authentication_init')}?{after}"
    return {"single_sign_on": {"is_only": settings.OIDC_ONLY, "url": url}}
