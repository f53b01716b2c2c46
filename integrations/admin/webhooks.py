"""The pages of webhooks, for admins of the organization: made, changed, tested, rotated, switched off and deleted."""

from collections.abc import Collection
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import display

from audit.models import Entry
from integrations import services
from integrations.admin.webhook_form import WebhookForm, opened_with
from integrations.documents import shown_url, webhook_resource
from integrations.models import WebhookEndpoint
from tenancy.admin.named_things import Naming, register_naming
from tenancy.admin.shown_once import keep_secret, take_secret
from tenancy.console_kit import conflicts
from tenancy.console_kit.admin import ConsoleAdmin, EmptyList
from tenancy.console_kit.confirm import ConfirmPage
from tenancy.console_kit.context import console_context
from tenancy.console_kit.formats import moment
from tenancy.console_kit.forms import form_page, sent_data
from tenancy.console_kit.instants import InstantField
from tenancy.console_kit.pages import console_page, list_url, object_url
from tenancy.console_kit.removal import Removal
from tenancy.console_kit.routes import Route
from tenancy.errors import Invalid
from tenancy.models import Organization
from tenancy.roles import Role

_FORM_NAMES = {"events": "single"}
_EDITED = ("name", "url", "events", "projects", "environments", "tags", "enabled")
_SHOWN_DELIVERIES = 10


def administered(request: HttpRequest) -> list[Organization]:
    """The organizations of whose webhooks this person is an admin."""
    context = console_context(request)
    return [row for row in context.organizations if context.may_in(Role.ADMIN, row.pk)]


def _names(request: HttpRequest, ids: Collection[str]) -> dict[str, str]:
    rows = WebhookEndpoint.objects.filter(organization__in=administered(request))
    return {str(pk): name for pk, name in rows.values_list("pk", "name") if str(pk) in ids}


def _found(request: HttpRequest, text: str) -> list[str]:
    rows = WebhookEndpoint.objects.filter(organization__in=administered(request), name__icontains=text)
    return [str(pk) for pk in rows.values_list("pk", flat=True)]


register_naming("webhook", Naming(_names, _found))


def deliveries_url(endpoint: WebhookEndpoint) -> str:
    return f"{reverse('admin:integrations_webhookdelivery_changelist')}?webhook={endpoint.pk}"


def _to_secret_page(request: HttpRequest, issued: services.IssuedWebhook) -> HttpResponse:
    keep_secret(request, issued.endpoint, issued.secret)
    return redirect(object_url(issued.endpoint, "secret"))


def _secret_page(request: HttpRequest, endpoint: WebhookEndpoint) -> HttpResponse:
    secret = take_secret(request, endpoint, endpoint.name)
    if secret is None:
        return redirect(object_url(endpoint))
    response = console_page(
        request,
        "integrations/webhook_secret.html",
        title="Copy the secret now",
        endpoint=endpoint,
        secret=secret,
        next_url=object_url(endpoint),
    )
    response["Cache-Control"] = "no-store"
    return response


def _edit(request: HttpRequest, endpoint: WebhookEndpoint) -> HttpResponse:
    def form(data: Any, document: dict[str, Any]) -> WebhookForm:
        return WebhookForm(data, initial=opened_with(document), organizations=[endpoint.organization])

    def perform(sent: dict[str, Any]) -> HttpResponse:
        payload = {name: sent[name] for name in _EDITED}
        services.update_webhook(
            actor=console_context(request).actor, endpoint=endpoint, payload=payload, version=sent["version"]
        )
        messages.success(request, "Saved.")
        return redirect(object_url(endpoint))

    def merge(sent: dict[str, Any]) -> tuple[forms.Form, dict[str, Any]]:
        entries = Entry.objects.filter(
            organization_id=endpoint.organization_id, entity_type="webhook", entity_key=str(endpoint.pk)
        )
        now = webhook_resource(WebhookEndpoint.objects.select_related("cursor").get(pk=endpoint.pk))
        # The log knows the address by its host alone, so what was typed stands.
        mine = {name: sent[name] for name in _EDITED if name != "url"}
        merged, notice = conflicts.merge(entries, mine, now, version=sent["version"])
        return form(None, {**merged, "url": sent["url"]}), notice

    return form_page(
        request,
        form(sent_data(request), webhook_resource(endpoint)),
        perform,
        merge=merge,
        title=f"Edit {endpoint.name}",
        submit="Save",
        cancel_url=object_url(endpoint),
        names=_FORM_NAMES,
    )


def _test(request: HttpRequest, endpoint: WebhookEndpoint) -> HttpResponse:
    if request.method != "POST":
        raise PermissionDenied
    delivery = services.request_test(endpoint=endpoint)
    messages.success(request, "A test is on its way, as every event would be. Load this page again for its outcome.")
    return redirect(object_url(delivery))


def _rotate(request: HttpRequest, endpoint: WebhookEndpoint) -> HttpResponse:
    def act(sent: dict[str, Any]) -> HttpResponse:
        actor = console_context(request).actor
        issued = services.rotate_webhook_secret(actor=actor, endpoint=endpoint, reason=sent["reason"])
        return _to_secret_page(request, issued)

    return ConfirmPage(
        title=f"Make a new secret for {endpoint.name}?",
        submit="Make it and show it once",
        act=act,
        cancel_url=object_url(endpoint),
        intro="Deliveries carry a signature of the new secret at once. For 24 hours they carry one of the present "
        "secret beside it: put the new one into every receiver meanwhile.",
    ).answer(request)


class SinceForm(forms.Form):
    since = InstantField(label="Since", help_text="Every event from then on is delivered once more, in order.")
    use_required_attribute = False


def _replay(request: HttpRequest, endpoint: WebhookEndpoint) -> HttpResponse:
    def perform(sent: dict[str, Any]) -> HttpResponse:
        if sent["since"] is None:
            raise Invalid("Say since when.", attr="since", code="required")
        services.redeliver_since(actor=console_context(request).actor, endpoint=endpoint, since=sent["since"])
        messages.success(request, "They are on their way, in order and under the same ids.")
        return redirect(object_url(endpoint))

    return form_page(
        request,
        SinceForm(sent_data(request)),
        perform,
        title=f"Send events to {endpoint.name} again",
        submit="Send them again",
        cancel_url=object_url(endpoint),
        intro="Receivers know an event that they have seen by its id. What happens meanwhile is told after these.",
    )


def _may_remove(request: HttpRequest, endpoint: WebhookEndpoint) -> bool:
    return console_context(request).may_in(Role.ADMIN, endpoint.organization_id)


REMOVAL: Removal[WebhookEndpoint] = Removal(
    may=_may_remove,
    consequence=lambda _endpoint: (
        "Nothing is sent there any more. Its secret and the log of its deliveries go with it."
    ),
    delete=lambda actor, endpoint, reason: services.delete_webhook(actor=actor, endpoint=endpoint, reason=reason),
)


@admin.register(WebhookEndpoint)
class WebhookAdmin(ConsoleAdmin):
    list_display = ["name", "state", "host", "told", "created"]
    search_fields = ["name"]
    search_help_text = "Search by name"
    list_select_related = ["cursor", "organization"]
    empty = EmptyList(
        "No webhooks yet",
        "A webhook tells another system of what happens here: a flag was killed, an experiment raised an alarm, a key "
        "was revoked. Events come in order, signed, at least once.",
    )
    removal = REMOVAL
    routes = (
        Route("<path:object_id>/edit/", "edit", _edit),
        Route("<path:object_id>/secret/", "secret", _secret_page),
        Route("<path:object_id>/test/", "test", _test),
        Route("<path:object_id>/rotate/", "rotate", _rotate),
        Route("<path:object_id>/replay/", "replay", _replay),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookEndpoint]:
        return super().get_queryset(request).filter(organization__in=administered(request))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return console_context(request).may_in(Role.ADMIN)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_module_permission(request)

    @display(description="State", label={"on": "success", "failing": "warning", "off": "danger"})
    def state(self, endpoint: WebhookEndpoint) -> str:
        if not endpoint.enabled:
            return "off"
        return "failing" if endpoint.cursor.failing_since else "on"

    @display(description="Address")
    def host(self, endpoint: WebhookEndpoint) -> str:
        return shown_url(endpoint.url).partition(" ")[0]

    @display(description="Told of")
    def told(self, endpoint: WebhookEndpoint) -> str:
        return ", ".join(endpoint.events[:5]) + (" …" if len(endpoint.events) > 5 else "")

    @display(description="Made", ordering="created_at")
    def created(self, endpoint: WebhookEndpoint) -> str:
        return moment(endpoint.created_at)

    def create(self, request: HttpRequest) -> HttpResponse:
        organizations = administered(request)

        def perform(sent: dict[str, Any]) -> HttpResponse:
            issued = services.create_webhook(
                actor=console_context(request).actor,
                organization=sent.get("organization") or organizations[0],
                payload={name: sent[name] for name in _EDITED},
            )
            return _to_secret_page(request, issued)

        return form_page(
            request,
            WebhookForm(sent_data(request), organizations=organizations),
            perform,
            title="New webhook",
            submit="Create and show the secret once",
            cancel_url=list_url(WebhookEndpoint),
            names=_FORM_NAMES,
        )

    def show(self, request: HttpRequest, thing: WebhookEndpoint) -> HttpResponse:
        if request.method == "POST":
            raise PermissionDenied
        is_rotating = thing.previous_secret_until is not None and thing.previous_secret_until > timezone.now()
        return console_page(
            request,
            "integrations/webhook.html",
            title=thing.name,
            endpoint=thing,
            state=self.state(thing),
            is_rotating=is_rotating,
            deliveries=thing.deliveries.defer("response_body")[:_SHOWN_DELIVERIES],
            deliveries_url=deliveries_url(thing),
            remove_url=REMOVAL.url(request, thing),
        )
