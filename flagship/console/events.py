"""An environment's events in the console: how they are kept, and those that could not be stored."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.widgets import UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from analytics import services
from analytics.enrichment.attributes import DEFAULT_NAMES
from analytics.models import DeadLetter, EventPolicy
from analytics.services.letters import MOST_AT_ONCE
from analytics.services.policies import FEWEST_DAYS
from tenancy.console_kit.confirm import ConfirmPage, RequiredReasonForm
from tenancy.console_kit.context import bind_to_address, console_context
from tenancy.console_kit.environments import environment_in_view
from tenancy.console_kit.formats import counted
from tenancy.console_kit.forms import add_problems, say_problems, sent_data
from tenancy.console_kit.pages import console_page, in_environment
from tenancy.errors import ServiceError
from tenancy.models import Environment
from tenancy.roles import Role

_MOST_SHOWN = 50
_NAMES = {"retentionDays": "retention_days", "exposureAttributes": "attributes"}


class PolicyForm(forms.Form):
    retention_days = forms.IntegerField(
        label="Days that raw events are kept",
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Empty is the installation's own number. Results and roll-ups stay for good.",
    )
    attributes = forms.CharField(
        label="Attributes kept with exposures",
        max_length=3_000,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=f"Separated by commas; none keeps no attribute. The default is {', '.join(DEFAULT_NAMES)}.",
    )
    pseudonyms = forms.BooleanField(
        label="Store users as pseudonyms",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Ids that are stored become pseudonyms at once. Nobody can turn this back.",
    )
    confirm = forms.CharField(
        label="The environment's key",
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Asked for with pseudonyms and with fewer days, because neither can be taken back.",
    )

    def names(self) -> list[str] | None:
        """Return the attributes; None for the default ones."""
        found = [name.strip() for name in self.cleaned_data["attributes"].split(",") if name.strip()]
        if found in (list(DEFAULT_NAMES), []):
            return None
        return [] if found == ["none"] else found

    def confirm_with(self, key: str) -> bool:
        """Return whether the key was typed, where what is sent cannot be taken back. Without it, that is a problem."""
        sent, before = self.cleaned_data, self.initial
        kept, wanted = (
            days or settings.RAW_EVENT_RETENTION_DAYS for days in (before["retention_days"], sent["retention_days"])
        )
        is_final = (sent["pseudonyms"] and not before["pseudonyms"]) or FEWEST_DAYS <= wanted < kept
        if is_final and sent["confirm"] != key:
            self.add_error("confirm", f"This cannot be taken back. Type {key} to save it.")
        return not self.errors


class DiscardForm(RequiredReasonForm):
    """`newest` is the last one that the page counted. What has come since was seen by nobody."""

    newest = forms.IntegerField(min_value=0, max_value=2**63 - 1, widget=forms.HiddenInput)


def page(request: HttpRequest) -> HttpResponse:
    """Show the policy and the dead letters. Admins of the environment change them."""
    if (moved := bind_to_address(request)) is not None:
        return moved
    environment = environment_in_view(request)
    may_change = console_context(request).may(Role.ADMIN, environment)
    if request.method == "POST" and not may_change:
        raise PermissionDenied(f"This needs the role admin in {environment}.")
    if "retry" in request.POST:
        return _retry(request, environment)
    form = PolicyForm(sent_data(request), initial=_initial(environment))
    for field in form.fields.values():
        field.disabled = not may_change
    # The ids behind pseudonyms are not stored anywhere, so they cannot come back.
    form.fields["pseudonyms"].disabled |= bool(form.initial["pseudonyms"])
    if form.is_bound and form.is_valid() and form.confirm_with(environment.key):
        try:
            _save(request, environment, form)
        except ServiceError as error:
            add_problems(form, error, _NAMES)
        else:
            messages.success(request, f"Saved. It holds for events of {environment} from now on.")
            return redirect(_url(environment))
    letters = DeadLetter.objects.filter(environment_id=environment.pk).order_by("-pk")
    return console_page(
        request,
        "console/events.html",
        title=f"Events in {environment}",
        status=422 if form.errors else 200,
        environments=console_context(request).environments,
        current_environment=environment,
        form=form,
        may_change=may_change,
        letters=letters[:_MOST_SHOWN],
        letters_total=letters.count(),
    )


def discard(request: HttpRequest) -> HttpResponse:
    """Throw the dead letters away, after a page has said what goes."""
    if (moved := bind_to_address(request)) is not None:
        return moved
    environment = environment_in_view(request)
    if not console_context(request).may(Role.ADMIN, environment):
        raise PermissionDenied(f"This needs the role admin in {environment}.")

    def act(sent: dict[str, Any]) -> str:
        actor = console_context(request).actor
        count = services.discard_dead_letters(actor=actor, environment=environment, **sent)
        return f"{counted(count, 'event')} thrown away."

    letters = DeadLetter.objects.filter(environment_id=environment.pk)
    newest = letters.order_by("-pk").values_list("pk", flat=True).first() or 0
    total = letters.filter(pk__lte=newest).count()
    return ConfirmPage(
        title=f"Throw away {counted(total, 'event')}?",
        submit="Throw away",
        intro=f"These events of {environment} could not be stored. They are gone for good, and count nowhere.",
        act=act,
        cancel_url=_url(environment),
        reason_label="Why?",
        tone="danger",
        form=DiscardForm,
        initial={"newest": newest},
        is_possible=total > 0,
    ).answer(request)


def _retry(request: HttpRequest, environment: Environment) -> HttpResponse:
    try:
        count = services.retry_dead_letters(actor=console_context(request).actor, environment=environment)
    except ServiceError as error:
        say_problems(request, error)
    else:
        more = " Send the others in the same way." if count == MOST_AT_ONCE else ""
        messages.success(request, f"{counted(count, 'event')} sent again. What fails again comes back here.{more}")
    return redirect(_url(environment))


def _initial(environment: Environment) -> dict[str, Any]:
    policy = _policy(environment)
    names = DEFAULT_NAMES if policy.exposure_attributes is None else policy.exposure_attributes
    return {
        "retention_days": policy.retention_days,
        "attributes": ", ".join(names) or "none",
        "pseudonyms": policy.pseudonym_key is not None,
    }


def _policy(environment: Environment) -> EventPolicy:
    return EventPolicy.objects.filter(environment=environment).first() or EventPolicy(environment=environment)


def _save(request: HttpRequest, environment: Environment, form: PolicyForm) -> None:
    services.set_event_policy(
        actor=console_context(request).actor,
        environment=environment,
        retention_days=form.cleaned_data["retention_days"],
        stores_pseudonyms=form.cleaned_data["pseudonyms"],
        exposure_attributes=form.names(),
    )


def _url(environment: Environment) -> str:
    return in_environment("console_events", environment)
