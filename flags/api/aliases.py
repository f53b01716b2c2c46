"""Routes under other names, for clients that were written to other documents; each is a thin adapter."""

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from flags import selectors
from flags.api import serializers
from tenancy.api.request import Request
from tenancy.api.views import WHERE, EnvironmentView
from tenancy.roles import Role


class PublishView(EnvironmentView):
    """A change is served as soon as it is saved; this says which version that is."""

    @extend_schema(parameters=WHERE, request=None, responses=serializers.PublishedSerializer)
    def post(self, request: Request, key: str) -> Response:
        """Answer with the version that is served: no change waits to be published."""
        environment = self.environment(request, Role.EDITOR)
        config = selectors.get_config(environment, key)
        return Response({
            "flagKey": key,
            "version": config.version,
            "configVersion": environment.config_version,
            "published": False,
        })  # fmt: skip
