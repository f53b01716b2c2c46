"""The page on which people change their own password. The form is unfold's; the service changes and audits it."""

from typing import Any, cast

from django.contrib import admin
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse_lazy

from flagship.console.password_forms import OwnPasswordForm
from tenancy.console_kit.context import console_context
from tenancy.models import User
from tenancy.services import change_password


class PasswordView(PasswordChangeView):
    form_class = OwnPasswordForm
    template_name = "registration/password_change_form.html"
    success_url = reverse_lazy("admin:password_change_done")

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "request": self.request}

    def form_valid(self, form: Any) -> HttpResponse:
        user = cast(User, self.request.user)
        change_password(
            actor=console_context(self.request).actor, user=user, password=form.cleaned_data["new_password1"]
        )
        # This session goes on. The person's other sessions carry the old password's hash and end.
        update_session_auth_hash(self.request, user)
        return redirect(self.get_success_url())


def change(request: HttpRequest) -> HttpResponse:
    request.current_app = admin.site.name
    return cast(HttpResponse, PasswordView.as_view(extra_context=admin.site.each_context(request))(request))
