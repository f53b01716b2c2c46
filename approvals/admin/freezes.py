"""The pages of freezes: windows in which nothing is published."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from approvals import services
from approvals.admin.policies import NamesField, roles_field
from approvals.documents import freeze_resource
from approvals.models import Freeze
from approvals.rules.windows import holds_until, next_start
from approvals.selectors import window_of
from approvals.services.freezes import Place
from tenancy.console_kit.context import console_context
from tenancy.console_kit.formats import moment
from tenancy.console_kit.forms import form_page, sent_data
from tenancy.console_kit.instants import InstantField, TypedInstant
from tenancy.console_kit.pages import list_url
from tenancy.console_kit.removal import Removal
from tenancy.roles import Role

_NAMES = {"durationMinutes": "duration_minutes", "exempt": "exempt_roles"}


def places(request: HttpRequest) -> dict[str, Place]:
    """What this person may freeze, by a name for the form: organizations, projects and environments."""
    context = console_context(request)
    found: dict[str, Place] = {
        f"organization:{row.pk}": row for row in context.organizations if context.may_in(Role.ADMIN, row.pk)
    }
    for environment in context.environments:
        if context.may_in_project(Role.ADMIN, environment.project):
            found[f"project:{environment.project_id}"] = environment.project
        if context.may(Role.ADMIN, environment):
            found[f"environment:{environment.pk}"] = environment
    return found


def may_change(request: HttpRequest, freeze: Freeze) -> bool:
    wanted = freeze.environment or freeze.project or freeze.organization
    return any(place == wanted for place in places(request).values())


class FreezeForm(forms.Form):
    name = forms.CharField(
        max_length=200, widget=UnfoldAdminTextInputWidget, help_text="As whoever is refused reads it."
    )
    reason = forms.CharField(required=False, max_length=2_000, widget=UnfoldAdminTextInputWidget)
    place = forms.ChoiceField(widget=UnfoldAdminSelectWidget, label="Where")
    since = InstantField(label="From", help_text="Empty: from now on.")
    until = InstantField(label="Until", help_text="Empty: until it is deleted.")
    cron = forms.CharField(
        required=False,
        max_length=100,
        widget=UnfoldAdminTextInputWidget,
        label="Again and again",
        help_text="When it begins each time, by minute, hour, day, month and weekday: 0 18 * * 5 is Fridays at 18:00.",
    )
    duration_minutes = forms.IntegerField(
        required=False, min_value=1, widget=UnfoldAdminIntegerFieldWidget, help_text="How long it lasts each time."
    )
    zone = forms.CharField(
        max_length=60, widget=UnfoldAdminTextInputWidget, help_text="Whose clock that is, as Europe/Berlin."
    )
    exempt_roles = roles_field(help_text="Who may publish all the same.")
    exempt_groups = NamesField(help_text="Groups that may, separated by commas.")
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, places: dict[str, Place] | None, **given: Any) -> None:
        super().__init__(*args, **given)
        if places is None:
            del self.fields["place"]
        else:
            self.fields["place"].choices = [(name, str(place)) for name, place in places.items()]  # type: ignore[attr-defined]  # it is a ChoiceField


def _payload(sent: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": sent["name"],
        "reason": sent["reason"],
        "since": sent["since"],
        "until": sent["until"],
        "cron": sent["cron"],
        "durationMinutes": sent["duration_minutes"],
        "zone": sent["zone"],
        "exempt": {"roles": sent["exempt_roles"], "groups": sent["exempt_groups"]},
    }


def create(request: HttpRequest) -> HttpResponse:
    choices = places(request)

    def perform(sent: dict[str, Any]) -> HttpResponse:
        made = services.create_freeze(
            actor=console_context(request).actor, place=choices[sent["place"]], payload=_payload(sent)
        )
        messages.success(request, f"{made.name} is there. Kills are exempt.")
        return redirect(list_url(Freeze))

    return form_page(
        request,
        FreezeForm(sent_data(request), places=choices, initial={"zone": "UTC"}),
        perform,
        title="New freeze",
        submit="Make the freeze",
        cancel_url=list_url(Freeze),
        names=_NAMES,
    )


def edit(request: HttpRequest, freeze: Freeze) -> HttpResponse:
    is_readonly = not may_change(request, freeze)
    if is_readonly and request.method == "POST":
        raise PermissionDenied
    now = freeze_resource(freeze)
    initial = {
        **{name: now[name] for name in ("name", "reason", "zone", "version")},
        "cron": freeze.cron,
        "since": TypedInstant.of(freeze.since),
        "until": TypedInstant.of(freeze.until),
        "duration_minutes": now["durationMinutes"],
        "exempt_roles": freeze.exempt_roles,
        "exempt_groups": freeze.exempt_groups,
    }

    def perform(sent: dict[str, Any]) -> HttpResponse:
        services.update_freeze(
            actor=console_context(request).actor, freeze=freeze, payload=_payload(sent), version=sent["version"]
        )
        messages.success(request, "Saved.")
        return redirect(list_url(Freeze))

    place = freeze.environment or freeze.project or freeze.organization
    return form_page(
        request,
        FreezeForm(sent_data(request), places=None, initial=initial),
        perform,
        title=freeze.name,
        submit="Save",
        cancel_url=list_url(Freeze),
        names=_NAMES,
        intro=f"Nothing is published in {place} while it holds. It {state_of(freeze)}.",
        remove_url=REMOVAL.url(request, freeze),
        is_readonly=is_readonly,
    )


REMOVAL: Removal[Freeze] = Removal(
    may=may_change,
    consequence=lambda freeze: f"{freeze} ends at once: what waited for its end may be published.",
    delete=lambda actor, freeze, reason: services.delete_freeze(actor=actor, freeze=freeze, reason=reason),
)


def state_of(freeze: Freeze) -> str:
    window, now = window_of(freeze), timezone.now()
    if holds_until(window, now) is not None:
        return "holds now"
    return "waits" if next_start(window, now) is not None else "is over"


def window_in_words(freeze: Freeze) -> str:
    until = f" until {moment(freeze.until)}" if freeze.until else ""
    if not freeze.cron:
        return f"{moment(freeze.since)}{until}"
    minutes = int(freeze.duration.total_seconds() // 60) if freeze.duration else 0
    return f"{freeze.cron} for {minutes:,} minutes, {freeze.zone}{until}"
