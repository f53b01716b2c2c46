"""Triggers, and the address that an alert calls without any other credential."""

from typing import Any
from uuid import UUID

from django.conf import settings
from drf_spectacular.utils import extend_schema
from openflagship.wire.limits import too_many_requests
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from rollouts import selectors, services
from rollouts.api import serializers
from rollouts.documents import trigger_resource
from rollouts.services.triggers import IssuedTrigger, find_trigger
from tenancy.api.request import Request
from tenancy.api.views import WHERE, EnvironmentView, paginated, payload, version_of
from tenancy.callers.limits import BUCKETS
from tenancy.callers.request_ids import META_KEY
from tenancy.roles import Role

_Trigger = serializers.TriggerSerializer
CALLS_A_MINUTE = 60


def _issued(issued: IssuedTrigger) -> dict[str, Any]:
    url = f"{settings.BASE_URL}/api/triggers/{issued.token}"
    return {**trigger_resource(issued.trigger), "token": issued.token, "url": url}


class TriggersView(EnvironmentView):
    """The environment's triggers."""

    @extend_schema(operation_id="triggers_list", parameters=WHERE, responses=_Trigger(many=True))
    def get(self, request: Request) -> Response:
        return paginated(self, request, selectors.triggers(self.environment(request)), trigger_resource)

    @extend_schema(parameters=WHERE, request=_Trigger, responses={201: serializers.IssuedTriggerSerializer})
    def post(self, request: Request) -> Response:
        """Make a trigger. The answer alone has its token and its address."""
        environment = self.environment(request, Role.EDITOR)
        issued = services.create_trigger(
            actor=request.user.actor, environment=environment, payload=payload(_Trigger, request)
        )
        return Response(_issued(issued), status=201)


class TriggerView(EnvironmentView):
    @extend_schema(parameters=WHERE, responses=_Trigger)
    def get(self, request: Request, trigger_id: UUID) -> Response:
        return Response(trigger_resource(selectors.get_trigger(self.environment(request), trigger_id)))

    @extend_schema(parameters=WHERE, request=_Trigger, responses=_Trigger)
    def patch(self, request: Request, trigger_id: UUID) -> Response:
        """Rename it, or switch it on or off."""
        trigger = selectors.get_trigger(self.environment(request, Role.EDITOR), trigger_id)
        sent = payload(_Trigger, request, is_partial=True)
        changed = services.update_trigger(
            actor=request.user.actor, trigger=trigger, payload=sent, version=version_of(sent)
        )
        return Response(trigger_resource(changed))

    @extend_schema(parameters=WHERE, responses={204: None})
    def delete(self, request: Request, trigger_id: UUID) -> Response:
        trigger = selectors.get_trigger(self.environment(request, Role.EDITOR), trigger_id)
        services.delete_trigger(actor=request.user.actor, trigger=trigger)
        return Response(status=204)


class TriggerCallView(APIView):
    """What an alert calls."""

    authentication_classes = []
    permission_classes = [AllowAny]

    def http_method_not_allowed(self, request: Any, *args: Any, **given: Any) -> Any:
        """A trigger's settings have an address like this one; what is the address of neither is not there."""
        find_trigger(given["token"])
        return super().http_method_not_allowed(request, *args, **given)

    @extend_schema(
        operation_id="triggers_call",
        request=serializers.AlertSerializer,
        responses=serializers.CalledSerializer,
        auth=[],
    )
    def post(self, request: Request, token: str) -> Response:
        """Do what the trigger is for. Takes the payloads of Alertmanager and Grafana, and a plain one."""
        trigger = find_trigger(token)
        verdict = BUCKETS.take(f"trigger:{trigger.prefix}", CALLS_A_MINUTE)
        if not verdict.is_allowed:
            raise too_many_requests(verdict)
        called = services.call_trigger(token=token, body=request.data, request_id=request.META.get(META_KEY, ""))
        return Response({"acted": called.has_acted, "why": called.why})
