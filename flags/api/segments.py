"""Segments over HTTP."""

from functools import partial

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.response import Response

from flags import selectors, services
from flags.api import serializers
from flags.documents import segment_resource
from tenancy.api.request import Request
from tenancy.api.views import WHERE, EnvironmentView, changed, created, paginated
from tenancy.roles import Role


class SegmentsView(EnvironmentView):
    """The environment's segments."""

    @extend_schema(
        parameters=[*WHERE, OpenApiParameter("search", str, description="Looks into key and name.")],
        responses=serializers.SegmentSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        environment = self.environment(request)
        found = selectors.search_segments(environment, request.query_params.get("search"))
        return paginated(self, request, found, segment_resource)

    @extend_schema(
        parameters=WHERE,
        request=serializers.SegmentSerializer,
        responses={200: serializers.SegmentSerializer, 201: serializers.SegmentSerializer},
    )
    def post(self, request: Request) -> Response:
        """200 with what is there, where it exists with the same content."""
        environment = self.environment(request, Role.EDITOR)
        create = partial(services.create_segment, environment=environment)
        return created(request, serializers.SegmentSerializer, create, segment_resource)


class SegmentView(EnvironmentView):
    @extend_schema(parameters=WHERE, responses=serializers.SegmentSerializer)
    def get(self, request: Request, key: str) -> Response:
        return Response(segment_resource(selectors.get_segment(self.environment(request), key)))

    @extend_schema(parameters=WHERE, request=serializers.SegmentSerializer, responses=serializers.SegmentSerializer)
    def put(self, request: Request, key: str) -> Response:
        return self._update(request, key, is_partial=False)

    @extend_schema(parameters=WHERE, request=serializers.SegmentSerializer, responses=serializers.SegmentSerializer)
    def patch(self, request: Request, key: str) -> Response:
        return self._update(request, key, is_partial=True)

    @extend_schema(parameters=WHERE, responses={204: None})
    def delete(self, request: Request, key: str) -> Response:
        environment = self.environment(request, Role.EDITOR)
        services.delete_segment(actor=request.user.actor, environment=environment, key=key)
        return Response(status=204)

    def _update(self, request: Request, key: str, *, is_partial: bool) -> Response:
        environment = self.environment(request, Role.EDITOR)
        update = partial(services.update_segment, environment=environment, key=key, is_partial=is_partial)
        return changed(request, serializers.SegmentSerializer, update, segment_resource)
