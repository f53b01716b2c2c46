"""The pages of scheduled changes. A change begins in a flag's editor: Save at…"""

import json
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from flags.selectors import configs
from rollouts import services
from rollouts.models import ScheduledChange
from tenancy.callers.principals import principal_of_user
from tenancy.console_kit.admin import EmptyList
from tenancy.console_kit.environments import PerEnvironmentAdmin, environment_ids, may_edit
from tenancy.console_kit.formats import moment
from tenancy.console_kit.forms import form_page, sent_data
from tenancy.console_kit.instants import FutureInstantField
from tenancy.console_kit.pages import console_page, list_url, object_url
from tenancy.console_kit.removal import Removal
from tenancy.errors import Invalid
from tenancy.models import Environment

_State = ScheduledChange.State


class ScheduleForm(forms.Form):
    """When a change is made, and which."""

    title = forms.CharField(required=False, max_length=200, widget=UnfoldAdminTextInputWidget)
    at = FutureInstantField(label="At", help_text="Once.")
    cron = forms.CharField(
        required=False,
        max_length=100,
        label="Or again and again",
        widget=UnfoldAdminTextInputWidget,
        help_text="A cron expression: 0 8 * * 1-5 is 08:00 on working days.",
    )
    zone = forms.CharField(
        required=False, initial="UTC", max_length=60, widget=UnfoldAdminTextInputWidget, help_text="Of the expression."
    )
    patch = forms.CharField(
        label="Fields to change, as JSON",
        max_length=200_000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 6, "spellcheck": "false"}),
    )
    base_version = forms.IntegerField(widget=forms.HiddenInput)

    def clean_patch(self) -> Any:
        try:
            return json.loads(self.cleaned_data["patch"])
        except ValueError as error:
            raise forms.ValidationError(f"This is no JSON: {error}") from error


def _may_remove(request: HttpRequest, change: ScheduledChange) -> bool:
    return may_edit(request, change)


REMOVAL: Removal[ScheduledChange] = Removal(
    may=_may_remove,
    consequence=lambda _change: "It is not made when its time comes.",
    delete=lambda actor, change, reason: services.cancel_scheduled(actor=actor, change=change, reason=reason),
)


@admin.register(ScheduledChange)
class ScheduledChangeAdmin(PerEnvironmentAdmin):
    list_display = ["what", "shown_state", "due", "created_by", "reason"]
    list_filter = ["state", "resource_type"]
    search_fields = ["resource_key", "title"]
    empty = EmptyList(
        "Nothing is scheduled here",
        "A scheduled change is made at an instant, or again and again: on at 08:00, off at 20:00.",
        otherwise="It begins in a flag's editor: Save at…",
    )
    removal = REMOVAL

    def get_queryset(self, request: HttpRequest) -> QuerySet[ScheduledChange]:
        found = ScheduledChange.objects.filter(environment__in=environment_ids(request))
        return found.select_related("environment__project__organization")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may_edit(request) and bool(request.GET.get("flag"))

    def create_in(self, request: HttpRequest, environment: Environment) -> HttpResponse:
        config = configs(environment).filter(flag__key=request.GET.get("flag", "")).first()
        if config is None:
            raise Http404("Name the flag; its page leads here.")
        kept = request.session.pop(f"scheduled_patch_{config.pk}", None) if request.method == "GET" else None
        if kept is not None and kept["version"] != config.version:
            messages.warning(
                request, f"{config.flag.key} was changed meanwhile. Look at it, and make your change anew."
            )
            return redirect(object_url(config))
        patch = kept["patch"] if kept is not None else {"enabled": not config.is_enabled}
        initial = {
            "zone": "UTC",
            "patch": json.dumps(patch, indent=1, ensure_ascii=False),
            "base_version": config.version,
        }

        def perform(sent: dict[str, Any]) -> HttpResponse:
            if sent["at"] is None and not sent["cron"]:
                raise Invalid("Say when.", attr="at", code="required")
            timing = {"cron": sent["cron"], "zone": sent["zone"] or "UTC"} if sent["cron"] else {"at": sent["at"]}
            change = services.schedule_change(
                principal=principal_of_user(request.user),  # type: ignore[arg-type]  # a person is signed in
                environment=environment,
                payload={
                    "resource": {"type": "flag", "key": config.flag.key},
                    "patch": sent["patch"],
                    "baseVersion": sent["base_version"],
                    "title": sent["title"],
                    **timing,
                },
            )
            messages.success(request, "Scheduled.")
            return redirect(object_url(change))

        return form_page(
            request,
            ScheduleForm(sent_data(request), initial=initial),
            perform,
            title=f"Change {config.flag.key} later",
            submit="Schedule it",
            cancel_url=list_url(ScheduledChange, environment=environment),
            intro="It is made where nobody has changed these fields meanwhile; else it is held, and you are told.",
            names={"baseVersion": "base_version", "version": "base_version"},
        )

    def show(self, request: HttpRequest, thing: ScheduledChange) -> HttpResponse:
        if request.method == "POST":
            raise PermissionDenied
        return console_page(
            request,
            "rollouts/scheduled.html",
            title=str(thing),
            change=thing,
            patch=json.dumps(thing.patch, indent=1, ensure_ascii=False),
            base=json.dumps(thing.base, indent=1, ensure_ascii=False),
            remove_url=REMOVAL.url(request, thing),
        )

    @display(description="What")
    def what(self, change: ScheduledChange) -> str:
        return str(change)

    @display(description="State", label={"Waiting": "info", "Published": "success", "Held": "warning"})
    def shown_state(self, change: ScheduledChange) -> str:
        return change.get_state_display()

    @display(description="When", ordering="due_at")
    def due(self, change: ScheduledChange) -> str:
        return moment(change.due_at) if change.due_at else "never"
