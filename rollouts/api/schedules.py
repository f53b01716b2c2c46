"""Scheduled changes of an environment."""

from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.response import Response

from rollouts import selectors, services
from rollouts.api import serializers
from rollouts.documents import scheduled_resource
from rollouts.models import ScheduledChange
from tenancy.api.request import Request
from tenancy.api.views import WHERE, EnvironmentView, choice, paginated, payload, version_of
from tenancy.roles import Role

_Change = serializers.ScheduledChangeSerializer
_STATE = OpenApiParameter("state", str, enum=ScheduledChange.State.values)
_TYPE = OpenApiParameter("type", str, enum=ScheduledChange.Resource.values)
_KEY = OpenApiParameter("key", str, description="Of the thing that is changed.")


class ScheduledChangesView(EnvironmentView):
    """What is to come, the earliest first."""

    @extend_schema(parameters=[*WHERE, _STATE, _TYPE, _KEY], responses=_Change(many=True))
    def get(self, request: Request) -> Response:
        found = selectors.scheduled(self.environment(request))
        if state := choice(request, "state", ScheduledChange.State.values):
            found = found.filter(state=state)
        if kind := choice(request, "type", ScheduledChange.Resource.values):
            found = found.filter(resource_type=kind)
        if key := request.query_params.get("key"):
            found = found.filter(resource_key=key)
        return paginated(self, request, found.order_by("due_at", "pk"), scheduled_resource)

    @extend_schema(parameters=WHERE, request=_Change, responses={201: _Change})
    def post(self, request: Request) -> Response:
        """Schedule a patch; it is validated now, and again when it is due."""
        environment = self.environment(request, Role.EDITOR)
        change = services.schedule_change(
            principal=request.user, environment=environment, payload=payload(_Change, request)
        )
        return Response(scheduled_resource(change), status=201)


class ScheduledChangeView(EnvironmentView):
    @extend_schema(operation_id="scheduled_change_retrieve", parameters=WHERE, responses=_Change)
    def get(self, request: Request, change_id: UUID) -> Response:
        return Response(scheduled_resource(selectors.get_scheduled(self.environment(request), change_id)))

    @extend_schema(parameters=WHERE, request=_Change, responses=_Change)
    def patch(self, request: Request, change_id: UUID) -> Response:
        """Change its time or its patch. One that was held waits again."""
        change = selectors.get_scheduled(self.environment(request, Role.EDITOR), change_id)
        sent = payload(_Change, request, is_partial=True)
        changed = services.update_scheduled(
            principal=request.user, change=change, payload=sent, version=version_of(sent)
        )
        return Response(scheduled_resource(changed))

    @extend_schema(parameters=WHERE, responses={204: None})
    def delete(self, request: Request, change_id: UUID) -> Response:
        change = selectors.get_scheduled(self.environment(request, Role.EDITOR), change_id)
        services.cancel_scheduled(actor=request.user.actor, change=change)
        return Response(status=204)
