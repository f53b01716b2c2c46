"""The pages of triggers: made with an address that is shown once, switched on and off, deleted."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from flags.selectors import configs
from rollouts import services
from rollouts.models import Trigger
from tenancy.admin.shown_once import keep_secret, take_secret
from tenancy.console_kit.admin import EmptyList
from tenancy.console_kit.context import console_context
from tenancy.console_kit.environments import EnvironmentList, PerEnvironmentAdmin, environment_ids, may_edit
from tenancy.console_kit.formats import moment
from tenancy.console_kit.forms import form_page, sent_data
from tenancy.console_kit.pages import console_page, list_url, object_url
from tenancy.console_kit.removal import Removal
from tenancy.console_kit.routes import Route
from tenancy.models import Environment
from tenancy.roles import Role


class TriggerForm(forms.Form):
    name = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget, help_text="Which alert calls it.")
    flag = forms.CharField(max_length=100, label="Flag", widget=UnfoldAdminTextInputWidget, help_text="Its key.")
    act = forms.ChoiceField(
        choices=Trigger.Act.choices, widget=UnfoldAdminSelectWidget, help_text="Fixed from then on."
    )


def _secret_page(request: HttpRequest, trigger: Trigger) -> HttpResponse:
    secret = take_secret(request, trigger, trigger.name)
    if secret is None:
        return redirect(object_url(trigger))
    response = console_page(
        request,
        "rollouts/trigger_secret.html",
        title="Copy the address now",
        trigger=trigger,
        url=f"{settings.BASE_URL}/api/triggers/{secret}",
        next_url=object_url(trigger),
    )
    response["Cache-Control"] = "no-store"
    return response


def _switch(request: HttpRequest, trigger: Trigger) -> HttpResponse:
    if request.method != "POST":
        raise PermissionDenied
    services.update_trigger(
        actor=console_context(request).actor,
        trigger=trigger,
        payload={"enabled": not trigger.enabled},
        version=trigger.version,
    )
    messages.success(request, "Switched off." if trigger.enabled else "Switched on.")
    return redirect(object_url(trigger))


REMOVAL: Removal[Trigger] = Removal(
    may=lambda request, trigger: may_edit(request, trigger.config),
    consequence=lambda _trigger: "Its address works no more.",
    delete=lambda actor, trigger, reason: services.delete_trigger(actor=actor, trigger=trigger, reason=reason),
)


class _TriggerList(EnvironmentList):
    def narrowed(self, found: QuerySet[Any], environment: Environment | None) -> QuerySet[Any]:
        return found.filter(config__environment=environment)


@admin.register(Trigger)
class TriggerAdmin(PerEnvironmentAdmin):
    list_display = ["name", "flag", "shown_act", "enabled", "acted"]
    search_fields = ["name", "config__flag__key"]
    empty = EmptyList(
        "No triggers here yet",
        "A trigger is a secret address that an alert calls: it kills a flag, switches it off, or stops its plan.",
    )
    removal = REMOVAL
    routes = (
        Route("<path:object_id>/secret/", "secret", _secret_page, role=Role.EDITOR),
        Route("<path:object_id>/switch/", "switch", _switch, role=Role.EDITOR),
    )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[EnvironmentList]:  # noqa: ARG002 - Django's signature
        return _TriggerList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Trigger]:
        found = Trigger.objects.filter(config__environment__in=environment_ids(request))
        return found.select_related("config__flag", "config__environment__project__organization")

    def create_in(self, request: HttpRequest, environment: Environment) -> HttpResponse:
        def perform(sent: dict[str, Any]) -> HttpResponse:
            issued = services.create_trigger(
                actor=console_context(request).actor,
                environment=environment,
                payload={"name": sent["name"], "flagKey": sent["flag"], "act": sent["act"]},
            )
            keep_secret(request, issued.trigger, issued.token)
            return redirect(object_url(issued.trigger, "secret"))

        known = ", ".join(configs(environment).values_list("flag__key", flat=True)[:5])
        return form_page(
            request,
            TriggerForm(sent_data(request)),
            perform,
            title="New trigger",
            submit="Create and show the address once",
            cancel_url=list_url(Trigger, environment=environment),
            intro=f"Flags here: {known} …" if known else "",
            names={"flagKey": "flag"},
        )

    def show(self, request: HttpRequest, thing: Trigger) -> HttpResponse:
        if request.method == "POST":
            raise PermissionDenied
        return console_page(
            request,
            "rollouts/trigger.html",
            title=thing.name,
            trigger=thing,
            may_edit=may_edit(request, thing.config),
            remove_url=REMOVAL.url(request, thing),
        )

    @display(description="Flag")
    def flag(self, trigger: Trigger) -> str:
        return trigger.config.flag.key

    @display(description="Act")
    def shown_act(self, trigger: Trigger) -> str:
        return trigger.get_act_display()

    @display(description="Acted last")
    def acted(self, trigger: Trigger) -> str:
        return moment(trigger.last_acted_at) if trigger.last_acted_at else "never"
