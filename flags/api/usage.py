"""`GET flags/{key}/usage` and `GET unknown-flags`: who asks for which flag, and for which there is not."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from analytics.models import UnknownFlag
from analytics.usage import reading
from analytics.usage.batches import API, EDGE, OFREP, SDK
from analytics.usage.retention import DAYS_KEPT_DAYS, HOURS_KEPT_DAYS
from analytics.windows import bounds
from flags.selectors import get_config, unknown_flags
from tenancy.api.request import Request
from tenancy.api.views import WHERE, EnvironmentView, paginated
from tenancy.errors import Invalid

DEFAULT_WINDOW = "24h"

# The doors that an evaluation comes through.
SOURCE_KINDS = [API, OFREP, SDK, EDGE]


class UsageSourceSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=SOURCE_KINDS)
    service = serializers.CharField(help_text="The service, else its credential's name; empty: the rest.")
    sdk = serializers.CharField(allow_null=True, help_text="Name and version, such as python/0.1.0.")


class LastUseSerializer(UsageSourceSerializer):
    lastEvaluatedAt = serializers.DateTimeField()


class UsageRowSerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField()
    until = serializers.DateTimeField(help_text="An hour later; a day, where the hours are kept no more.")
    variant = serializers.CharField(allow_null=True, help_text="null: the caller's default, or a variant that is gone.")
    reason = serializers.CharField()
    usedBy = UsageSourceSerializer()
    evaluations = serializers.IntegerField()


class UsageSpanSerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()


class FlagUsageSerializer(serializers.Serializer[Any]):
    window = UsageSpanSerializer()
    evaluations = serializers.IntegerField()
    lastEvaluatedAt = serializers.DateTimeField(allow_null=True)
    usedBy = LastUseSerializer(many=True, help_text="Whoever evaluated it, the latest first, whatever the window.")
    usage = UsageRowSerializer(many=True)


class UnknownFlagSerializer(serializers.Serializer[Any]):
    key = serializers.CharField()
    usedBy = UsageSourceSerializer()
    evaluations = serializers.IntegerField()
    firstAt = serializers.DateTimeField()
    lastAt = serializers.DateTimeField()


class FlagUsageView(EnvironmentView):
    """Evaluations by variant, reason and source, by the hour, with and without a unit."""

    @extend_schema(
        parameters=[
            *WHERE,
            OpenApiParameter(
                "window", str, description=f"`7d`, `24h`, or `<instant>/<instant>`; {DEFAULT_WINDOW} when left out."
            ),
        ],
        responses=FlagUsageSerializer,
    )
    def get(self, request: Request, key: str) -> Response:
        environment = self.environment(request)
        config = get_config(environment, key)
        since, until = bounds(request.query_params.get("window") or DEFAULT_WINDOW, timezone.now())
        if until - since > timedelta(days=DAYS_KEPT_DAYS):
            raise Invalid(
                f"Usage is kept for {DAYS_KEPT_DAYS} days, of the last {HOURS_KEPT_DAYS} by the hour; ask for less.",
                attr="window",
                code="out_of_range",
            )
        rows = reading.usage(environment.pk, config.flag.key, since, until)
        uses = reading.uses_by_source(environment.pk, config.flag.key)
        answer = {
            "window": {"since": since, "until": until},
            "evaluations": sum(row.evaluations for row in rows),
            "lastEvaluatedAt": uses[0].at if uses else None,
            "usedBy": [{**_source(use.source), "lastEvaluatedAt": use.at} for use in uses],
            "usage": [
                {
                    "since": row.since,
                    "until": row.until,
                    "variant": row.variant or None,
                    "reason": row.reason,
                    "usedBy": _source(row.source),
                    "evaluations": row.evaluations,
                }
                for row in rows
            ],
        }
        return Response(FlagUsageSerializer(answer).data)


class UnknownFlagsView(EnvironmentView):
    """Keys that were asked for and that no flag has, by source, the latest first."""

    @extend_schema(parameters=WHERE, responses=UnknownFlagSerializer(many=True))
    def get(self, request: Request) -> Response:
        return paginated(self, request, unknown_flags(self.environment(request)), _unknown)


def _unknown(row: UnknownFlag) -> Any:
    answer = {
        "key": row.flag_key,
        "usedBy": _source(row.source),
        "evaluations": row.evaluations,
        "firstAt": row.first_at,
        "lastAt": row.last_at,
    }
    return UnknownFlagSerializer(answer).data


def _source(source: Any) -> dict[str, Any]:
    return {"kind": source.kind, "service": source.service, "sdk": source.sdk or None}
