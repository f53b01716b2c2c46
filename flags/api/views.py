"""Thin views: find the environment through the door, call a service, show the resource."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from flags import evaluation, selectors, services
from flags.api import serializers
from flags.documents import flag_resource
from flags.metrics import EVALUATION_SECONDS
from flags.models import Flag, FlagConfig
from tenancy.api.authentication import IsEnvironmentKey
from tenancy.api.views import WHERE, EnvironmentView, choice, paginated, payload
from tenancy.errors import Invalid
from tenancy.models import Role


class EvaluateView(APIView):
    """One flag for one user."""

    permission_classes = [IsEnvironmentKey]

    @extend_schema(
        request=serializers.EvaluateSerializer,
        responses={200: serializers.AnswerSerializer, 404: serializers.AnswerSerializer},
    )
    def post(self, request: Request) -> Response:
        with EVALUATION_SECONDS.time():
            status, body = evaluation.evaluate(_caller(request), request.data)
        return Response(body, status=status)


class EvaluateAllView(APIView):
    """Every flag, or those named, for one user."""

    permission_classes = [IsEnvironmentKey]

    @extend_schema(request=serializers.EvaluateAllSerializer, responses=serializers.AnswersSerializer)
    def post(self, request: Request) -> Response:
        with EVALUATION_SECONDS.time():
            body = evaluation.evaluate_all(_caller(request), request.data)
        return Response(body)


def _caller(request: Request) -> evaluation.Caller:
    return evaluation.Caller(request.user.environment_id, user_agent=request.META.get("HTTP_USER_AGENT"))


class FlagsView(EnvironmentView):
    """The environment's flags."""

    @extend_schema(
        parameters=[
            *WHERE,
            OpenApiParameter("state", str, enum=selectors.STATES),
            OpenApiParameter("type", str, enum=Flag.Type.values),
            *(OpenApiParameter(name, str) for name in ("tag", "prefix", "search")),
        ],
        responses=serializers.FlagSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        environment = self.environment(request)
        query = request.query_params
        found = selectors.search_configs(
            environment,
            state=choice(request, "state", selectors.STATES),
            type=choice(request, "type", Flag.Type.values),
            **{name: query.get(name) for name in ("tag", "prefix", "search")},
        )
        return paginated(self, request, found, flag_resource)

    @extend_schema(
        parameters=WHERE,
        request=serializers.FlagSerializer,
        responses={200: serializers.FlagSerializer, 201: serializers.FlagSerializer},
    )
    def post(self, request: Request) -> Response:
        environment = self.environment(request, Role.EDITOR)
        sent = payload(serializers.FlagSerializer, request)
        if "key" not in sent:
            raise Invalid("Name the flag's key.", attr="key", code="required")
        config, is_new = services.create_flag(actor=request.user.actor, environment=environment, payload=sent)
        return Response(flag_resource(config), status=201 if is_new else 200)


class FlagView(EnvironmentView):
    """One flag."""

    @extend_schema(parameters=WHERE, responses=serializers.FlagSerializer)
    def get(self, request: Request, key: str) -> Response:
        return Response(flag_resource(selectors.get_config(self.environment(request), key)))

    @extend_schema(parameters=WHERE, request=serializers.FlagSerializer, responses=serializers.FlagSerializer)
    def put(self, request: Request, key: str) -> Response:
        return self._update(request, key, is_partial=False)

    @extend_schema(parameters=WHERE, request=serializers.FlagSerializer, responses=serializers.FlagSerializer)
    def patch(self, request: Request, key: str) -> Response:
        return self._update(request, key, is_partial=True)

    @extend_schema(parameters=WHERE, request=None, responses=serializers.FlagSerializer)
    def delete(self, request: Request, key: str) -> Response:
        """Archives: nothing is lost, and `restore` brings it back."""
        environment = self.environment(request, Role.EDITOR)
        config = services.archive_flag(actor=request.user.actor, environment=environment, key=key)
        return Response(flag_resource(config))

    def _update(self, request: Request, key: str, *, is_partial: bool) -> Response:
        environment = self.environment(request, Role.EDITOR)
        sent = payload(serializers.FlagSerializer, request)
        if "version" not in sent:
            raise Invalid(
                "Send the version that you read, so that nobody's change is overwritten.",
                attr="version",
                code="required",
            )
        config = services.update_flag(
            actor=request.user.actor,
            environment=environment,
            key=key,
            payload=sent,
            version=sent["version"],
            is_partial=is_partial,
        )
        return Response(flag_resource(config))


class RestoreView(EnvironmentView):
    @extend_schema(parameters=WHERE, request=serializers.ReasonSerializer, responses=serializers.FlagSerializer)
    def post(self, request: Request, key: str) -> Response:
        environment = self.environment(request, Role.EDITOR)
        reason = payload(serializers.ReasonSerializer, request).get("reason", "")
        config = services.restore_flag(actor=request.user.actor, environment=environment, key=key, reason=reason)
        return Response(flag_resource(config))


class KillView(EnvironmentView):
    @extend_schema(parameters=WHERE, request=serializers.KillSerializer, responses={202: serializers.KilledSerializer})
    def post(self, request: Request, key: str) -> Response:
        environment = self.environment(request, Role.EDITOR)
        sent = payload(serializers.KillSerializer, request)
        config = services.kill_flag(
            actor=request.user.actor,
            environment=environment,
            key=key,
            variant=sent.get("variant"),
            reason=sent.get("reason", ""),
        )
        return Response(_killed(config), status=202)


class ReleaseView(EnvironmentView):
    @extend_schema(
        parameters=WHERE, request=serializers.ReasonSerializer, responses={202: serializers.KilledSerializer}
    )
    def post(self, request: Request, key: str) -> Response:
        environment = self.environment(request, Role.EDITOR)
        reason = payload(serializers.ReasonSerializer, request).get("reason", "")
        config = services.release_flag(actor=request.user.actor, environment=environment, key=key, reason=reason)
        return Response(_killed(config), status=202)


def _killed(config: FlagConfig) -> dict[str, Any]:
    return {
        "flagKey": config.flag.key,
        "killSwitchVariant": config.kill_switch_variant or None,
        "configVersion": config.environment.config_version,
    }
