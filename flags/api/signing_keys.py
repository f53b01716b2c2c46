"""The secrets that sign an environment's snapshots."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from flags.api import serializers
from flags.propagation import signing
from flags.services.signing import retire_previous_signing_key, rotate_signing_key
from tenancy import access
from tenancy.api.request import Request
from tenancy.api.views import WHERE, ManagementView
from tenancy.models import Environment
from tenancy.roles import Role


class SigningKeysView(ManagementView):
    """The secrets that sign an environment's snapshots; for admins."""

    @extend_schema(parameters=WHERE[:1] + WHERE[2:], responses=serializers.SigningKeysSerializer)
    def get(self, request: Request, environment_key: str) -> Response:
        return Response(_signing_keys(self._environment(request, environment_key)))

    @extend_schema(parameters=WHERE[:1] + WHERE[2:], request=None, responses={201: serializers.SigningKeysSerializer})
    def post(self, request: Request, environment_key: str) -> Response:
        """Rotates: a new secret signs from now on, the one in use so far stays valid beside it."""
        environment = self._environment(request, environment_key)
        rotate_signing_key(actor=request.user.actor, environment=environment)
        return Response(_signing_keys(environment), status=201)

    @extend_schema(parameters=WHERE[:1] + WHERE[2:], request=None, responses={200: serializers.SigningKeysSerializer})
    def delete(self, request: Request, environment_key: str) -> Response:
        """Retires the secret before the one in use."""
        environment = self._environment(request, environment_key)
        retire_previous_signing_key(actor=request.user.actor, environment=environment)
        return Response(_signing_keys(environment))

    def _environment(self, request: Request, environment_key: str) -> Environment:
        return access.get_environment(
            request.user,
            project=request.query_params.get("project"),
            environment=environment_key,
            needs=Role.ADMIN,
        )


def _signing_keys(environment: Environment) -> dict[str, Any]:
    row = signing.SnapshotSigning.objects.filter(pk=environment.pk).first()
    keys = [signing.signing_key(environment.pk, generation) for generation in (row.generations if row else (1,))]
    return {"keys": [{"generation": key.generation, "secret": key.secret} for key in keys]}
