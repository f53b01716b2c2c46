"""Layers over HTTP."""

from functools import partial

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from flags import selectors, services
from flags.api import serializers
from flags.documents import layer_resource
from tenancy.api.request import Request
from tenancy.api.views import WHERE, EnvironmentView, changed, created, paginated
from tenancy.roles import Role


class LayersView(EnvironmentView):
    """The environment's layers, with the buckets of each experiment."""

    @extend_schema(parameters=WHERE, responses=serializers.LayerSerializer(many=True))
    def get(self, request: Request) -> Response:
        return paginated(self, request, selectors.layers(self.environment(request)), layer_resource)

    @extend_schema(
        parameters=WHERE,
        request=serializers.LayerSerializer,
        responses={200: serializers.LayerSerializer, 201: serializers.LayerSerializer},
    )
    def post(self, request: Request) -> Response:
        """200 with what is there, where it exists with the same name."""
        environment = self.environment(request, Role.EDITOR)
        create = partial(services.create_layer, environment=environment)
        return created(request, serializers.LayerSerializer, create, layer_resource)


class LayerView(EnvironmentView):
    @extend_schema(parameters=WHERE, responses=serializers.LayerSerializer)
    def get(self, request: Request, key: str) -> Response:
        return Response(layer_resource(selectors.get_layer(self.environment(request), key)))

    @extend_schema(parameters=WHERE, request=serializers.LayerSerializer, responses=serializers.LayerSerializer)
    def patch(self, request: Request, key: str) -> Response:
        environment = self.environment(request, Role.EDITOR)
        update = partial(services.update_layer, environment=environment, key=key)
        return changed(request, serializers.LayerSerializer, update, layer_resource)

    @extend_schema(parameters=WHERE, responses={204: None})
    def delete(self, request: Request, key: str) -> Response:
        environment = self.environment(request, Role.EDITOR)
        services.delete_layer(actor=request.user.actor, environment=environment, key=key)
        return Response(status=204)
