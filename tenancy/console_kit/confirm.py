"""The page before an act: what it does, its consequences, a reason, and the service's refusal where there is one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.widgets import UnfoldAdminTextInputWidget

from tenancy.console_kit import proposals
from tenancy.console_kit.forms import add_problems
from tenancy.console_kit.pages import console_page
from tenancy.errors import Invalid, ServiceError
from tenancy.models import Environment


class ReasonForm(forms.Form):
    reason = forms.CharField(
        required=False, max_length=500, widget=UnfoldAdminTextInputWidget, help_text="For the audit log."
    )


class RequiredReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=500,
        widget=UnfoldAdminTextInputWidget,
        error_messages={"required": "Say why: whoever reads the log next needs to know."},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmPage:
    """`act` gets what the form holds, calls the service and returns what to say; it raises ServiceError.

    `act` may return a response of its own instead. A template that extends `console/confirm.html` fills its blocks
    `consequences`, `choices` and `buttons` from `shown`. A form with more fields than the reason has them in
    `choices`. `action_url` is where the form is sent, if not to the page itself. `serves` is the environment in which
    the act changes what is served: the page says beforehand what that asks for.
    """

    title: str
    submit: str
    act: Callable[[dict[str, Any]], str | HttpResponse]
    cancel_url: str
    done_url: str = ""
    intro: str = ""
    tone: Literal["", "warn", "danger"] = ""
    reason_label: str = "Reason, for the audit log"
    form: Callable[..., forms.Form] = ReasonForm
    initial: Mapping[str, Any] = field(default_factory=dict)
    template: str = "console/confirm.html"
    action_url: str = ""
    is_possible: bool = True
    serves: Environment | None = None
    shown: Mapping[str, Any] = field(default_factory=dict)

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Ask on GET and act on POST. An invalid form answers 422; a refusal by the present state answers 409."""
        if request.method != "POST":
            return self.ask(request)
        form = self.form(request.POST)
        if not form.is_valid():
            return self.ask(request, form, status=422)
        refusal: ServiceError | None = None
        try:
            outcome = proposals.attempted(request, lambda: self.act(form.cleaned_data), self.serves)
        except ServiceError as error:
            refusal = error
        if refusal is not None:
            return self._refused(request, form, refusal)
        if isinstance(outcome, HttpResponse):
            return outcome
        messages.success(request, outcome)
        return redirect(self.done_url or self.cancel_url)

    def _refused(self, request: HttpRequest, form: forms.Form, refusal: ServiceError) -> HttpResponse:
        """Show the refusal. Where others have to agree, ask them if the person wants that, and offer it otherwise."""
        proposed, refusal = proposals.answered(request, refusal, form.cleaned_data.get("reason"))
        if proposed is not None:
            return proposed
        add_problems(form, refusal)
        if refusal.problems[0].code == "version_conflict":
            # The page now shows the present state, and that is what the next confirmation is about.
            sent = request.POST.copy()
            for bound in form.hidden_fields():
                if bound.name in self.initial:
                    sent[bound.html_name] = str(self.initial[bound.name])
            form.data = sent
        status = 422 if isinstance(refusal, Invalid) else 409
        return self.ask(request, form, status=status, is_proposable=proposals.is_proposable(refusal))

    def ask(
        self, request: HttpRequest, form: forms.Form | None = None, *, status: int = 200, is_proposable: bool = False
    ) -> HttpResponse:
        return console_page(
            request,
            self.template,
            title=self.title,
            status=status,
            confirm=self,
            form=form or self.form(initial=dict(self.initial)),
            is_proposable=is_proposable,
            **self.shown,
        )
