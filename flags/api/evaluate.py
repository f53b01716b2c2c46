"""Evaluation over HTTP, for whatever the fast lane leaves to DRF; the answers are written by the same functions."""

import orjson
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from flags.api import serializers
from flags.evaluation import answers
from flags.prometheus import EVALUATION_SECONDS
from tenancy.api.authentication import IsEnvironmentKey
from tenancy.api.data_plane import DataPlaneView
from tenancy.api.request import Request


class EvaluateView(DataPlaneView):
    """One flag for one user."""

    permission_classes = [IsEnvironmentKey]

    @extend_schema(
        request=serializers.EvaluateSerializer,
        responses={200: serializers.AnswerSerializer, 404: serializers.AnswerSerializer},
    )
    def post(self, request: Request) -> Response:
        with EVALUATION_SECONDS.time():
            status, body, _ = answers.evaluate(_caller(request), self.sent(request))
        return Response(orjson.Fragment(body), status=status)


class EvaluateAllView(DataPlaneView):
    """Every flag, or those named, for one user."""

    permission_classes = [IsEnvironmentKey]

    @extend_schema(request=serializers.EvaluateAllSerializer, responses=serializers.AnswersSerializer)
    def post(self, request: Request) -> Response:
        with EVALUATION_SECONDS.time():
            body = answers.evaluate_all(_caller(request), self.sent(request))
        return Response(orjson.Fragment(body))


def _caller(request: Request) -> answers.Caller:
    user, user_agent = request.user, request.META.get("HTTP_USER_AGENT")
    return answers.Caller(user.own_environment_id, user.name, user_agent, user.actor.credential)
