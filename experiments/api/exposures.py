"""`GET flags/{key}/exposures`: counts per variant, and whether the split was kept."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from experiments.analysis.flag_split import DEFAULT_WINDOW, exposures_resource
from flags.selectors import get_config
from tenancy.api.request import Request
from tenancy.api.views import WHERE, EnvironmentView


class SpanSerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()


class VariantExposuresSerializer(serializers.Serializer[Any]):
    key = serializers.CharField()
    exposures = serializers.IntegerField()
    users = serializers.IntegerField(help_text="Unique ones; who saw two variants counts for both.")
    usersRelativeError = serializers.FloatField(
        allow_null=True,
        help_text="The standard error of `users` as a share of it, where the window is not of whole UTC days and "
        "`users` is an estimate; null: exact.",
    )


class FlagRatioSerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField(help_text="The window's start, or when the split last changed in it.")
    judged = SpanSerializer(
        allow_null=True,
        help_text="The time since then whose users are judged, exact ones: its whole UTC days, the last day until now "
        "if nobody was there in those, or all of it if it has no whole day.",
    )
    chiSquare = serializers.FloatField(allow_null=True)
    pValue = serializers.FloatField(allow_null=True)
    warning = serializers.BooleanField()
    expected = serializers.DictField(child=serializers.FloatField(), allow_null=True)
    observed = serializers.DictField(child=serializers.IntegerField(), allow_null=True)
    unexpectedUsers = serializers.IntegerField(
        allow_null=True, help_text="Seen with a variant that the split gives nobody."
    )
    reason = serializers.CharField(allow_null=True, help_text="Why the ratio cannot be judged.")


class FlagExposuresSerializer(serializers.Serializer[Any]):
    window = SpanSerializer()
    variants = VariantExposuresSerializer(many=True)
    expected = serializers.DictField(
        child=serializers.FloatField(), allow_null=True, help_text="Users by variant, of those that `srm` is about."
    )
    srm = FlagRatioSerializer()


class FlagExposuresView(EnvironmentView):
    """Who got which variant of a flag."""

    @extend_schema(
        parameters=[
            *WHERE,
            OpenApiParameter(
                "window", str, description=f"`7d`, `24h`, or `<instant>/<instant>`; {DEFAULT_WINDOW} when left out."
            ),
        ],
        responses=FlagExposuresSerializer,
    )
    def get(self, request: Request, key: str) -> Response:
        config = get_config(self.environment(request), key)
        return Response(FlagExposuresSerializer(exposures_resource(config, request.query_params.get("window"))).data)
