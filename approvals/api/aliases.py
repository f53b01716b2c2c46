"""Routes under other names, for clients that were written to other documents."""

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from approvals import selectors, services
from flags.api.serializers import PublishedSerializer
from flags.selectors import get_config
from tenancy.api.request import Request
from tenancy.api.views import WHERE, EnvironmentView
from tenancy.errors import Conflict
from tenancy.roles import Role


class PublishFlagView(EnvironmentView):
    """What was saved is served at once, unless the environment asks for approvals."""

    @extend_schema(parameters=WHERE, request=None, responses=PublishedSerializer)
    def post(self, request: Request, key: str) -> Response:
        """Publish the flag's open change request; without one, answer with the version that is served."""
        environment = self.environment(request, Role.EDITOR)
        get_config(environment, key)
        waiting = list(selectors.open_requests_touching(environment, "flag", key)[:2])
        if len(waiting) > 1:
            raise Conflict(
                f"Several change requests wait that touch {key!r}; publish one: POST change-requests/{{id}}/publish.",
                code="ambiguous",
            )
        for found in waiting:
            services.publish_request(principal=request.user, request=found)
            environment.refresh_from_db(fields=["config_version"])
        return Response({
            "flagKey": key,
            "version": get_config(environment, key).version,
            "configVersion": environment.config_version,
            "published": bool(waiting),
        })  # fmt: skip
