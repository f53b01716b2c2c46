"""OFREP's two routes; see `flags.evaluation.ofrep` for what they answer."""

from typing import Any

import orjson
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, inline_serializer
from openflagship.wire.answers import ofrep_exposures_asked
from rest_framework import serializers
from rest_framework.exceptions import ParseError
from rest_framework.response import Response

from flags.api.evaluate import WHICH_EXPOSURES
from flags.evaluation import ofrep
from flags.evaluation.answers import OfrepCaller
from tenancy.api.authentication import IsEnvironmentKey
from tenancy.api.data_plane import DataPlaneView
from tenancy.api.request import Request

_REQUEST = inline_serializer("OfrepRequest", {"context": serializers.DictField(required=False)})
_ONE = inline_serializer(
    "OfrepEvaluation",
    {
        "key": serializers.CharField(),
        "reason": serializers.CharField(required=False),
        "variant": serializers.CharField(required=False, allow_blank=True),
        "value": serializers.JSONField(required=False),
        "metadata": serializers.DictField(required=False),
        "errorCode": serializers.CharField(required=False),
        "errorDetails": serializers.CharField(required=False),
    },
)
_FAILURE = inline_serializer(
    "OfrepFailure",
    {
        "key": serializers.CharField(required=False),
        "errorCode": serializers.CharField(),
        "errorDetails": serializers.CharField(required=False),
    },
)
_ALL = inline_serializer(
    "OfrepEvaluations",
    {"flags": serializers.ListField(), "metadata": serializers.DictField(), "eventStreams": serializers.ListField()},
)


class OfrepView(DataPlaneView):
    """What both routes share: the caller, and refusals in the protocol's own form."""

    permission_classes = [IsEnvironmentKey]

    def caller(self, request: Request) -> OfrepCaller:
        user = request.user
        return OfrepCaller(
            user.own_environment_id, user.name, request.META.get("HTTP_USER_AGENT"), user.actor.credential
        )

    def sent(self, request: Request) -> Any:
        try:
            return super().sent(request)
        except ParseError as error:
            raise ofrep.OfrepError("PARSE_ERROR", str(error.detail)) from error

    def refusal(self, error: ofrep.OfrepError, key: str = "") -> Response:
        return Response(error.body(key), status=400)


class OfrepFlagView(OfrepView):
    """One flag for one context."""

    @extend_schema(
        operation_id="ofrep_evaluate_flag",
        request=_REQUEST,
        responses={200: _ONE, 400: _FAILURE, 404: _FAILURE},
    )
    def post(self, request: Request, key: str) -> Response:
        try:
            status, body = ofrep.evaluate(self.caller(request), key, self.sent(request))
        except ofrep.OfrepError as error:
            return self.refusal(error, key)
        return Response(orjson.Fragment(body), status=status)


class OfrepFlagsView(OfrepView):
    """Every flag for one context; 304 when the result is the one the caller has."""

    @extend_schema(
        operation_id="ofrep_evaluate_flags",
        request=_REQUEST,
        parameters=[OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER), WHICH_EXPOSURES],
        responses={200: _ALL, 304: OpenApiResponse(description="The result has not changed."), 400: _FAILURE},
    )
    def post(self, request: Request) -> Response:
        try:
            caller = self.caller(request)
            exposures = ofrep_exposures_asked(request.query_params.get("exposures"))
            bulk = ofrep.bulk(caller, self.sent(request))
        except ofrep.OfrepError as error:
            return self.refusal(error)
        if bulk.is_known(request.META.get("HTTP_IF_NONE_MATCH", "")):
            return Response(status=304, headers={"ETag": bulk.etag})
        return Response(orjson.Fragment(ofrep.send(caller, bulk, exposures=exposures)), headers={"ETag": bulk.etag})
