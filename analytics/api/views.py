"""POST events/exposure, events/conversion and events/metrics: parse, accept, answer."""

from dataclasses import asdict
from typing import Any, cast

from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ParseError
from rest_framework.response import Response

from analytics import prometheus, services
from analytics.api import parsing
from tenancy.api.authentication import IsEnvironmentKey
from tenancy.api.data_plane import DataPlaneView
from tenancy.api.request import Request
from tenancy.errors import Invalid, PayloadTooLarge, Problem


class _EventsView(DataPlaneView):
    permission_classes = [IsEnvironmentKey]
    reader: parsing.Reader[Any, Any]

    def post(self, request: Request) -> Response:
        caller = request.user
        parsed = self.reader.read(
            _body(request),
            environment_id=cast(int, caller.environment_id),
            idempotency_key=request.META.get("HTTP_IDEMPOTENCY_KEY", ""),
        )
        for refused in parsed.rejected:
            prometheus.EVENTS_REJECTED.labels(refused.code).inc()
        if parsed.is_single and parsed.rejected:
            raise Invalid([Problem(None, refused.code, refused.detail) for refused in parsed.rejected])
        if len(parsed.batch):
            services.accept_events(parsed.batch)
        return Response(
            {"accepted": len(parsed.batch), "rejected": [asdict(refused) for refused in parsed.rejected]}, status=202
        )


class ExposureView(_EventsView):
    """Exposures: one, or {"events": [...]} up to 5,000 and 5 MB."""

    reader = parsing.EXPOSURES

    @extend_schema(operation_id="events_exposure", request=OpenApiTypes.OBJECT, responses={202: OpenApiTypes.OBJECT})
    def post(self, request: Request) -> Response:
        return super().post(request)


class ConversionView(_EventsView):
    """Conversions: one, or {"events": [...]} up to 5,000 and 5 MB."""

    reader = parsing.CONVERSIONS

    @extend_schema(operation_id="events_conversion", request=OpenApiTypes.OBJECT, responses={202: OpenApiTypes.OBJECT})
    def post(self, request: Request) -> Response:
        return super().post(request)


class MetricView(_EventsView):
    """Conversions under `metricKey` instead of `eventName`."""

    reader = parsing.METRICS

    @extend_schema(operation_id="events_metrics", request=OpenApiTypes.OBJECT, responses={202: OpenApiTypes.OBJECT})
    def post(self, request: Request) -> Response:
        return super().post(request)


def _body(request: Request) -> bytes:
    limit = settings.MAX_EVENTS_BODY_BYTES
    body: bytes = request._request.body  # noqa: SLF001 - the raw bytes: msgspec parses them, DRF's parsers do not
    if len(body) > limit:
        raise PayloadTooLarge(f"The body is larger than {limit:,} bytes; split it.")
    if not body:
        raise ParseError('The body is empty; send one event, or {"events": [...]}.')
    return parsing.decompressed(body, request.META.get("HTTP_CONTENT_ENCODING", "").strip().lower(), limit=limit)
