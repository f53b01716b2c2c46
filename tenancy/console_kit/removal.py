"""Deleting from the console: what goes with it, a reason, and the service's refusal where something needs it."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from unfold.widgets import UnfoldAdminTextInputWidget

from tenancy.console_kit.base import ConsoleAdmin, sent_data


class ReasonForm(forms.Form):
    reason = forms.CharField(
        required=False, max_length=500, widget=UnfoldAdminTextInputWidget, help_text="For the audit log."
    )


class RemovableAdmin(ConsoleAdmin):
    """A page whose things may be deleted; `may_remove` says by whom, `remove` does it through the service."""

    def may_remove(self, request: HttpRequest, thing: Any) -> bool:
        raise NotImplementedError

    def remove_thing(self, request: HttpRequest, thing: Any, reason: str) -> None:
        """Raises ServiceError, whose message is shown."""
        raise NotImplementedError

    def consequence(self, thing: Any) -> str:
        raise NotImplementedError

    def remove_url(self, request: HttpRequest, thing: Any) -> str:
        """Where to delete it; empty for whoever may not."""
        if not self.may_remove(request, thing):
            return ""
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_delete", args=[thing.pk])

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:  # noqa: ARG002 - Django's signature
        thing = self.get_object(request, object_id)
        if thing is None:
            raise Http404("There is no such thing, or it belongs to another tenant.")
        if not self.may_remove(request, thing):
            raise PermissionDenied

        def perform(sent: dict[str, Any]) -> HttpResponse:
            name = str(thing)
            self.remove_thing(request, thing, sent["reason"])
            messages.success(request, f"{name} is deleted.")
            return redirect(self.list_url())

        return self.form_page(
            request,
            ReasonForm(sent_data(request)),
            perform,
            title=f"Delete {thing}?",
            submit="Delete for good",
            is_dangerous=True,
            intro=self.consequence(thing),
        )
