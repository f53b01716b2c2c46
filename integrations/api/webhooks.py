"""Webhooks over HTTP, for admins of the organization: an address often is a secret, and events name everything."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.response import Response

from integrations import documents, services
from integrations.api import serializers
from integrations.event_types import event_types
from integrations.models import WebhookDelivery, WebhookEndpoint
from integrations.services import IssuedWebhook
from integrations.webhooks.delivery import request_body
from tenancy import access
from tenancy.api.request import Request
from tenancy.api.views import ORGANIZATION, TENANT, ManagementView, choice, paginated, payload, version_of
from tenancy.errors import NotFound
from tenancy.models import Organization
from tenancy.refusals import refuse_unknown
from tenancy.roles import Role

_PARAMETERS = [ORGANIZATION, TENANT]
_STATE = OpenApiParameter("state", str, enum=WebhookDelivery.State.values)
_KIND = OpenApiParameter("kind", str, enum=WebhookDelivery.Kind.values)
_EVENT_TYPE = OpenApiParameter("eventType", str, description="As flag.killed.")


class _WebhookView(ManagementView):
    def organization(self, request: Request) -> Organization:
        return access.get_organization(request.user, request.query_params.get("organization"), needs=Role.ADMIN)

    def webhooks(self, request: Request) -> QuerySet[WebhookEndpoint]:
        return self.organization(request).webhooks.select_related("cursor", "organization")

    def webhook(self, request: Request, webhook_id: UUID) -> WebhookEndpoint:
        found = self.webhooks(request).filter(pk=webhook_id).first()
        if found is None:
            raise NotFound("There is no such webhook.")
        return found

    def delivery(self, request: Request, webhook_id: UUID, delivery_id: UUID) -> WebhookDelivery:
        webhook = self.webhook(request, webhook_id)
        found = webhook.deliveries.filter(pk=delivery_id).first()
        if found is None:
            raise NotFound("There is no such delivery; they are kept for 30 days.")
        found.endpoint = webhook
        return found


def _issued(issued: IssuedWebhook) -> dict[str, Any]:
    return {**documents.webhook_resource(issued.endpoint), "secret": issued.secret}


class WebhooksView(_WebhookView):
    """The organization's webhooks."""

    @extend_schema(parameters=_PARAMETERS, responses=serializers.WebhookSerializer(many=True))
    def get(self, request: Request) -> Response:
        return paginated(self, request, self.webhooks(request).order_by("name", "pk"), documents.webhook_resource)

    @extend_schema(
        parameters=_PARAMETERS,
        request=serializers.WebhookSerializer,
        responses={201: serializers.IssuedWebhookSerializer},
    )
    def post(self, request: Request) -> Response:
        """Make a webhook, which is told of what happens from now on. The answer alone has its secret."""
        organization = self.organization(request)
        sent = payload(serializers.WebhookSerializer, request)
        issued = services.create_webhook(actor=request.user.actor, organization=organization, payload=sent)
        return Response(_issued(issued), status=201)


class WebhookView(_WebhookView):
    @extend_schema(parameters=_PARAMETERS, responses=serializers.WebhookSerializer)
    def get(self, request: Request, webhook_id: UUID) -> Response:
        return Response(documents.webhook_resource(self.webhook(request, webhook_id)))

    @extend_schema(
        parameters=_PARAMETERS, request=serializers.WebhookSerializer, responses=serializers.WebhookSerializer
    )
    def put(self, request: Request, webhook_id: UUID) -> Response:
        """Replace it: a filter that is left out is empty."""
        webhook = self.webhook(request, webhook_id)
        sent = payload(serializers.WebhookSerializer, request)
        whole = {"projects": [], "environments": [], "tags": [], "enabled": True, **sent}
        return self._changed(request, webhook, whole)

    @extend_schema(
        parameters=_PARAMETERS, request=serializers.WebhookSerializer, responses=serializers.WebhookSerializer
    )
    def patch(self, request: Request, webhook_id: UUID) -> Response:
        """Change what is sent. Switched on again, it goes on with the event at which it stopped."""
        webhook = self.webhook(request, webhook_id)
        return self._changed(request, webhook, payload(serializers.WebhookSerializer, request, is_partial=True))

    def _changed(self, request: Request, webhook: WebhookEndpoint, sent: dict[str, Any]) -> Response:
        changed = services.update_webhook(
            actor=request.user.actor, endpoint=webhook, payload=sent, version=version_of(sent)
        )
        return Response(documents.webhook_resource(changed))

    @extend_schema(parameters=_PARAMETERS, responses={204: None})
    def delete(self, request: Request, webhook_id: UUID) -> Response:
        services.delete_webhook(actor=request.user.actor, endpoint=self.webhook(request, webhook_id))
        return Response(status=204)


class RotateSecretView(_WebhookView):
    @extend_schema(parameters=_PARAMETERS, request=None, responses=serializers.IssuedWebhookSerializer)
    def post(self, request: Request, webhook_id: UUID) -> Response:
        """Make a new secret, which the answer alone has. The one before it signs beside it for 24 hours."""
        webhook = self.webhook(request, webhook_id)
        return Response(_issued(services.rotate_webhook_secret(actor=request.user.actor, endpoint=webhook)))


class TryWebhookView(_WebhookView):
    @extend_schema(parameters=_PARAMETERS, request=None, responses={202: serializers.DeliverySerializer})
    def post(self, request: Request, webhook_id: UUID) -> Response:
        """Have an event delivered that tells of nothing, the way of every delivery; ask for it to see the outcome."""
        delivery = services.request_test(endpoint=self.webhook(request, webhook_id))
        return Response(documents.delivery_resource(delivery), status=202)


class RedeliverSinceView(_WebhookView):
    @extend_schema(
        parameters=_PARAMETERS,
        request=serializers.SinceSerializer,
        responses={202: serializers.WebhookSerializer},
    )
    def post(self, request: Request, webhook_id: UUID) -> Response:
        """Deliver every event since an instant once more, in order, under the same ids."""
        webhook = self.webhook(request, webhook_id)
        sent = payload(serializers.SinceSerializer, request)
        refuse_unknown(sent, ("since",))
        changed = services.redeliver_since(actor=request.user.actor, endpoint=webhook, since=sent["since"])
        return Response(documents.webhook_resource(changed), status=202)


class DeliveriesView(_WebhookView):
    """The attempts of the last 30 days, the newest first."""

    @extend_schema(
        parameters=[*_PARAMETERS, _STATE, _KIND, _EVENT_TYPE], responses=serializers.DeliverySerializer(many=True)
    )
    def get(self, request: Request, webhook_id: UUID) -> Response:
        rows = self.webhook(request, webhook_id).deliveries.defer("response_body", "response_headers")
        if state := choice(request, "state", WebhookDelivery.State.values):
            rows = rows.filter(state=state)
        if kind := choice(request, "kind", WebhookDelivery.Kind.values):
            rows = rows.filter(kind=kind)
        if event_type := request.query_params.get("eventType"):
            rows = rows.filter(event_type=event_type)
        return paginated(self, request, rows.order_by("-id"), documents.delivery_resource)


class DeliveryView(_WebhookView):
    @extend_schema(parameters=_PARAMETERS, responses=serializers.WholeDeliverySerializer)
    def get(self, request: Request, webhook_id: UUID, delivery_id: UUID) -> Response:
        """One attempt with all that was sent and answered."""
        delivery = self.delivery(request, webhook_id, delivery_id)
        return Response(documents.whole_delivery(delivery, request_body(delivery).decode()))


class RedeliverView(_WebhookView):
    @extend_schema(parameters=_PARAMETERS, request=None, responses={202: serializers.DeliverySerializer})
    def post(self, request: Request, webhook_id: UUID, delivery_id: UUID) -> Response:
        """Have the event delivered once more, under the same id, ahead of what comes next."""
        made = services.redeliver(delivery=self.delivery(request, webhook_id, delivery_id))
        return Response(documents.delivery_resource(made), status=202)


class EventTypesView(ManagementView):
    """Every event that a webhook can be told of."""

    @extend_schema(parameters=[TENANT], responses=serializers.EventTypeSerializer(many=True))
    def get(self, request: Request) -> Response:
        access.get_organization(request.user, request.query_params.get("organization"), needs=None)
        return paginated(self, request, event_types(), asdict)
