"""The log of deliveries: what was sent to a webhook, what it answered, and sending it again."""

import json
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin import SimpleListFilter
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.decorators import display

from integrations import services
from integrations.admin.webhooks import administered, deliveries_url
from integrations.models import WebhookDelivery, WebhookEndpoint
from integrations.webhooks.delivery import request_body
from tenancy.console_kit.admin import ConsoleAdmin
from tenancy.console_kit.context import console_context
from tenancy.console_kit.formats import duration, moment
from tenancy.console_kit.forms import say_problems
from tenancy.console_kit.pages import console_page, object_url
from tenancy.console_kit.routes import Route
from tenancy.errors import ServiceError
from tenancy.roles import Role

TONES = {"waiting": "info", "delivered": "success", "failed": "danger"}


def _redeliver(request: HttpRequest, delivery: WebhookDelivery) -> HttpResponse:
    if request.method != "POST":
        raise PermissionDenied
    try:
        made = services.redeliver(delivery=delivery)
    except ServiceError as error:
        say_problems(request, error)
        return redirect(object_url(delivery))
    messages.success(request, "It is on its way once more, under the same id. Load this page again for its outcome.")
    return redirect(object_url(made))


class WebhookFilter(SimpleListFilter):
    title = parameter_name = "webhook"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002 - Django's signature
        rows = WebhookEndpoint.objects.filter(organization__in=administered(request))
        return [(str(pk), name) for pk, name in rows.values_list("pk", "name")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[WebhookDelivery]) -> QuerySet[WebhookDelivery]:  # noqa: ARG002 - likewise
        if not self.value():
            return queryset
        # Of a webhook that is none of the choices there is nothing to show.
        return queryset.filter(endpoint__in=[UUID(pk) for pk, _ in self.lookup_choices if pk == self.value()])


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ConsoleAdmin):
    list_display = ["when", "webhook", "event_type", "kind", "status", "answered", "took", "attempt"]
    list_display_links = ["when"]
    list_filter = ["state", "kind", WebhookFilter]
    search_fields = ["event_type", "event_id"]
    search_help_text = "Search by event or id"
    routes = (Route("<path:object_id>/redeliver/", "redeliver", _redeliver),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookDelivery]:
        rows = super().get_queryset(request).filter(endpoint__organization__in=administered(request))
        return rows.select_related("endpoint__organization").defer("response_body", "response_headers")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return console_context(request).may_in(Role.ADMIN)

    @display(description="When", ordering="id")
    def when(self, delivery: WebhookDelivery) -> str:
        return moment(delivery.sent_at or delivery.created_at)

    @display(description="Webhook")
    def webhook(self, delivery: WebhookDelivery) -> str:
        return delivery.endpoint.name

    @display(description="State", label=TONES)
    def status(self, delivery: WebhookDelivery) -> tuple[str, str]:
        return delivery.state, delivery.get_state_display()

    @display(description="Answer")
    def answered(self, delivery: WebhookDelivery) -> str:
        return str(delivery.response_status or delivery.error or "-")

    @display(description="Took")
    def took(self, delivery: WebhookDelivery) -> str:
        return duration(delivery.duration_ms)

    def show(self, request: HttpRequest, thing: WebhookDelivery) -> HttpResponse:
        if request.method == "POST":
            raise PermissionDenied
        return console_page(
            request,
            "integrations/delivery.html",
            title=thing.event_type,
            delivery=thing,
            tone=TONES[thing.state],
            request_headers=_lines(thing.request_headers),
            sent=_indented(request_body(thing)),
            response_headers=_lines(thing.response_headers),
            webhook_url=object_url(thing.endpoint),
            list_url=deliveries_url(thing.endpoint),
        )


def _indented(body: bytes) -> str:
    return json.dumps(json.loads(body), indent=2, ensure_ascii=False)


def _lines(headers: dict[str, str]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in headers.items())
