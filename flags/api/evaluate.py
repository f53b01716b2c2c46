"""Evaluation over HTTP, for whatever the fast lane leaves to DRF; the answers are written by the same functions."""

import orjson
from drf_spectacular.utils import OpenApiParameter, extend_schema
from openflagship.wire.aliases import translated
from openflagship.wire.answers import EXPOSURES, exposures_asked
from openflagship.wire.credentials import check_environment
from rest_framework.response import Response

from flags.api import serializers
from flags.evaluation import answers
from flags.prometheus import EVALUATION_SECONDS
from tenancy import access
from tenancy.api.authentication import MayEvaluate
from tenancy.api.data_plane import DataPlaneView
from tenancy.api.request import Request

# Bulk answers alone: one flag that is asked for is one that is shown.
WHICH_EXPOSURES = OpenApiParameter(
    "exposures",
    str,
    enum=EXPOSURES,
    description="Which answers are logged as exposures, marked prefetched. By default those of running experiments.",
)


class EvaluateView(DataPlaneView):
    """One flag for one user."""

    permission_classes = [MayEvaluate]

    @extend_schema(
        request=serializers.EvaluateSerializer,
        responses={200: serializers.AnswerSerializer, 404: serializers.AnswerSerializer},
    )
    def post(self, request: Request) -> Response:
        sent = self.sent(request)
        other = translated(sent)
        caller = _caller(request, other.environment_key if other else "")
        with EVALUATION_SECONDS.time():
            status, body, _ = answers.evaluate(caller, other.body if other else sent)
        if other is None:
            return Response(orjson.Fragment(body), status=status)
        return Response(other.write(orjson.loads(body)), status=status)


class EvaluateAllView(DataPlaneView):
    """Every flag, or those named, for one user."""

    permission_classes = [MayEvaluate]

    @extend_schema(
        request=serializers.EvaluateAllSerializer,
        parameters=[WHICH_EXPOSURES],
        responses=serializers.AnswersSerializer,
    )
    def post(self, request: Request) -> Response:
        with EVALUATION_SECONDS.time():
            exposures = exposures_asked(request.query_params.get("exposures"))
            body = answers.evaluate_all(_caller(request), self.sent(request), exposures=exposures)
        return Response(orjson.Fragment(body))


def _caller(request: Request, environment_key: str = "") -> answers.Caller:
    """Who asks. A key has its environment; a service account names one in which it has a role."""
    user, user_agent = request.user, request.META.get("HTTP_USER_AGENT")
    if user.is_key:
        caller = answers.Caller(user.own_environment_id, user.name, user_agent, user.actor.credential)
        if environment_key:
            own = answers.live_environment(caller).header.get("key", "")
            check_environment(environment_key, str(own))
        return caller
    query = request.query_params
    named = environment_key or query.get("environment")
    environment = access.get_environment(user, project=query.get("project"), environment=named)
    return answers.Caller(environment.pk, user.actor.label, user_agent, user.actor.credential)
