"""Thin views: find the environment through the door, call a service, show the resource."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from flags import evaluation, selectors, services
from flags.api import serializers
from flags.documents import flag_resource
from flags.metrics import EVALUATION_SECONDS
from flags.models import FlagConfig
from tenancy import access
from tenancy.api.authentication import IsEnvironmentKey
from tenancy.errors import Invalid
from tenancy.models import Environment, Role

_WHERE = [
    OpenApiParameter("project", str, description="Project key; may be left out where there is only one."),
    OpenApiParameter("environment", str, description="Environment key; likewise."),
    OpenApiParameter("X-Tenant-ID", str, OpenApiParameter.HEADER, description="Organization slug, with a management token."),
]


class EnvironmentView(APIView):
    """A management view: every method starts at the environment that the request is about."""

    def environment(self, request: Request, needs: Role = Role.VIEWER) -> Environment:
        return access.get_environment(
            request.user,
            project=request.query_params.get("project"),
            environment=request.query_params.get("environment"),
            needs=needs,
        )


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
            *_WHERE,
            OpenApiParameter("state", str, enum=["active", "archived", "on", "off", "killed", "all"]),
            *(OpenApiParameter(name, str) for name in ("tag", "type", "prefix", "search")),
        ],
        responses=serializers.FlagSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        environment = self.environment(request)
        query = request.query_params
        state = query.get("state")
        if state not in {None, "active", "archived", "on", "off", "killed", "all"}:
            raise Invalid("Use one of: active, archived, on, off, killed, all.", attr="state")
        found = selectors.search_configs(
            environment, state=state, **{name: query.get(name) for name in ("tag", "type", "prefix", "search")}
        )
        paginator: PageNumberPagination = api_settings.DEFAULT_PAGINATION_CLASS()
        page = paginator.paginate_queryset(found, request, view=self)
        return paginator.get_paginated_response([flag_resource(config) for config in page or []])

    @extend_schema(
        parameters=_WHERE,
        request=serializers.FlagSerializer,
        responses={200: serializers.FlagSerializer, 201: serializers.FlagSerializer},
    )
    def post(self, request: Request) -> Response:
        environment = self.environment(request, Role.EDITOR)
        payload = _payload(serializers.FlagSerializer, request)
        if "key" not in payload:
            raise Invalid("Name the flag's key.", attr="key", code="required")
        config, is_new = services.create_flag(actor=request.user.actor, environment=environment, payload=payload)
        return Response(flag_resource(config), status=201 if is_new else 200)


class FlagView(EnvironmentView):
    """One flag."""

    @extend_schema(parameters=_WHERE, responses=serializers.FlagSerializer)
    def get(self, request: Request, key: str) -> Response:
        return Response(flag_resource(selectors.get_config(self.environment(request), key)))

    @extend_schema(parameters=_WHERE, request=serializers.FlagSerializer, responses=serializers.FlagSerializer)
    def put(self, request: Request, key: str) -> Response:
        return self._update(request, key, is_partial=False)

    @extend_schema(parameters=_WHERE, request=serializers.FlagSerializer, responses=serializers.FlagSerializer)
    def patch(self, request: Request, key: str) -> Response:
        return self._update(request, key, is_partial=True)

    @extend_schema(parameters=_WHERE, request=None, responses=serializers.FlagSerializer)
    def delete(self, request: Request, key: str) -> Response:
        """Archives: nothing is lost, and `restore` brings it back."""
        environment = self.environment(request, Role.EDITOR)
        config = services.archive_flag(actor=request.user.actor, environment=environment, key=key)
        return Response(flag_resource(config))

    def _update(self, request: Request, key: str, *, is_partial: bool) -> Response:
        environment = self.environment(request, Role.EDITOR)
        payload = _payload(serializers.FlagSerializer, request)
        if "version" not in payload:
            raise Invalid("Send the version that you read, so that nobody's change is overwritten.", attr="version",
                          code="required")
        config = services.update_flag(
            actor=request.user.actor,
            environment=environment,
            key=key,
            payload=payload,
            version=payload["version"],
            is_partial=is_partial,
        )
        return Response(flag_resource(config))


class RestoreView(EnvironmentView):
    @extend_schema(parameters=_WHERE, request=serializers.ReasonSerializer, responses=serializers.FlagSerializer)
    def post(self, request: Request, key: str) -> Response:
        environment = self.environment(request, Role.EDITOR)
        reason = _payload(serializers.ReasonSerializer, request).get("reason", "")
        config = services.restore_flag(actor=request.user.actor, environment=environment, key=key, reason=reason)
        return Response(flag_resource(config))


class KillView(EnvironmentView):
    @extend_schema(
        parameters=_WHERE, request=serializers.KillSerializer, responses={202: serializers.KilledSerializer}
    )
    def post(self, request: Request, key: str) -> Response:
        environment = self.environment(request, Role.EDITOR)
        sent = _payload(serializers.KillSerializer, request)
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
        parameters=_WHERE, request=serializers.ReasonSerializer, responses={202: serializers.KilledSerializer}
    )
    def post(self, request: Request, key: str) -> Response:
        environment = self.environment(request, Role.EDITOR)
        reason = _payload(serializers.ReasonSerializer, request).get("reason", "")
        config = services.release_flag(actor=request.user.actor, environment=environment, key=key, reason=reason)
        return Response(_killed(config), status=202)


def _payload(serializer: type[Any], request: Request) -> dict[str, Any]:
    """Check the form of the body and return what was sent, field by field and nothing added.

    Names the serializer does not know are kept, so that the service can refuse them by name.
    """
    data = request.data if request.data not in (None, "") else {}
    if not isinstance(data, dict):
        raise Invalid("Send a JSON object.", code="invalid_type")
    checked = serializer(data=data)
    checked.is_valid(raise_exception=True)
    return {**data, **_plain(checked.validated_data)}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _killed(config: FlagConfig) -> dict[str, Any]:
    return {
        "flagKey": config.flag.key,
        "killSwitchVariant": config.kill_switch_variant or None,
        "configVersion": config.environment.config_version,
    }
