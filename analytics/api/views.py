"""POST events/exposure, events/conversion and events/metrics: parse, accept, answer."""

from typing import Any, cast

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ParseError
from rest_framework.response import Response

from analytics.api import parsing
from analytics.api.acceptance import CONVERSION, EXPOSURE, METRIC, EventKind, Sender, take
from tenancy.api.authentication import IsEnvironmentKey
from tenancy.api.data_plane import DataPlaneView
from tenancy.api.request import Request
from tenancy.errors import PayloadTooLarge

# The OpenAPI document has these under the names of its components.
_REF = "#/components/schemas/"
ACCEPTED = {"$ref": f"{_REF}EventsAccepted"}


def _body_of(name: str) -> dict[str, Any]:
    """One event, or a batch."""
    event = {"$ref": f"{_REF}{name}"}
    events = {"type": "array", "maxItems": parsing.MAX_EVENTS, "items": event}
    batch = {"type": "object", "required": ["events"], "properties": {"events": events}}
    return {"application/json": {"anyOf": [event, batch]}}


class _EventsView(DataPlaneView):
    permission_classes = [IsEnvironmentKey]
    kind: EventKind

    def post(self, request: Request) -> Response:
        sender = Sender(
            environment_id=cast(int, request.user.environment_id),
            name=request.user.name or "api",
            idempotency_key=request.META.get("HTTP_IDEMPOTENCY_KEY", ""),
        )
        return Response(take(self.kind, sent_body(request), sender), status=202)


class ExposureView(_EventsView):
    """Exposures: one, or {"events": [...]} up to 5,000 and 5 MB."""

    kind = EXPOSURE

    @extend_schema(operation_id="events_exposure", request=_body_of("ExposureEvent"), responses={202: ACCEPTED})
    def post(self, request: Request) -> Response:
        return super().post(request)


class ConversionView(_EventsView):
    """Conversions: one, or {"events": [...]} up to 5,000 and 5 MB."""

    kind = CONVERSION

    @extend_schema(operation_id="events_conversion", request=_body_of("ConversionEvent"), responses={202: ACCEPTED})
    def post(self, request: Request) -> Response:
        return super().post(request)


class MetricView(_EventsView):
    """Conversions under `metricKey` instead of `eventName`."""

    kind = METRIC

    @extend_schema(operation_id="events_metrics", request=_body_of("MetricEvent"), responses={202: ACCEPTED})
    def post(self, request: Request) -> Response:
        return super().post(request)


def sent_body(request: Request) -> bytes:
    limit = settings.MAX_EVENTS_BODY_BYTES
    body: bytes = request._request.body  # noqa: SLF001 - the raw bytes: msgspec parses them, DRF's parsers do not
    if len(body) > limit:
        raise PayloadTooLarge(f"The body is larger than {limit:,} bytes; split it.")
    if not body:
        raise ParseError('The body is empty; send one event, or {"events": [...]}.')
    return parsing.decompressed(body, request.META.get("HTTP_CONTENT_ENCODING", "").strip().lower(), limit=limit)
