"""The two addresses of single sign-on: one leads to the provider, the other takes its answer."""

from typing import Any

import requests
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from mozilla_django_oidc.views import OIDCAuthenticationCallbackView, OIDCAuthenticationRequestView

from tenancy.single_sign_on import oidc_setting

_FAILED = "Single sign-on did not work. Try again, or ask an administrator whether one of your groups has a role here."


class _Configured:
    """Answers 404 unless single sign-on is configured."""

    @staticmethod
    def get_settings(attr: str, *args: Any) -> Any:
        return oidc_setting(attr, *args)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not settings.OIDC_ISSUER:
            raise Http404
        return super().dispatch(request, *args, **kwargs)  # type: ignore[misc]  # it is a View's mixin


class SignOnView(_Configured, OIDCAuthenticationRequestView):
    def __init__(self, **kwargs: Any) -> None:
        # The library asks the provider for its endpoints here. Nothing could handle the provider's absence before this.
        super(OIDCAuthenticationRequestView, self).__init__(**kwargs)

    def get(self, request: HttpRequest) -> HttpResponse:
        try:
            OIDCAuthenticationRequestView.__init__(self)
        except requests.RequestException:
            messages.error(request, "The identity provider does not answer.")
            return redirect(settings.LOGIN_URL)
        answer: HttpResponse = super().get(request)
        return answer


class SignedOnView(_Configured, OIDCAuthenticationCallbackView):
    def login_failure(self) -> HttpResponse:
        messages.error(self.request, _FAILED)
        return redirect(settings.LOGIN_URL)
