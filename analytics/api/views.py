"""POST events/exposure, events/conversion and events/metrics: parse, accept, answer."""

from dataclasses import asdict
from typing import Any, cast

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ParseError
from rest_framework.response import Response

from analytics import prometheus, services
from analytics.api import names, parsing
from analytics.api.bodies import Remark
from analytics.event_records import Batch, ConversionEvent, ExposureEvent
from tenancy.api.authentication import IsEnvironmentKey
from tenancy.api.data_plane import DataPlaneView
from tenancy.api.request import Request
from tenancy.errors import Invalid, PayloadTooLarge, Problem

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
    reader: parsing.Reader[Any, Any]

    def batch(self, parsed: parsing.Parsed[Any, Any], environment_id: int) -> Batch:
        """What is to be stored; `parsed` gets further remarks."""
        raise NotImplementedError

    def post(self, request: Request) -> Response:
        environment_id = cast(int, request.user.environment_id)
        parsed = self.reader.read(
            sent_body(request),
            environment_id=environment_id,
            idempotency_key=request.META.get("HTTP_IDEMPOTENCY_KEY", ""),
            source=request.user.name or "api",
        )
        batch = self.batch(parsed, environment_id)
        for refused in parsed.rejected:
            prometheus.EVENTS_REJECTED.labels(refused.code).inc()
        for remark in parsed.warnings:
            prometheus.EVENTS_WARNED.labels(remark.code).inc()
        if parsed.is_single and parsed.rejected:
            raise Invalid([Problem(None, refused.code, refused.detail) for refused in parsed.rejected])
        if len(batch):
            services.accept_events(batch)
        answer: dict[str, Any] = {
            "accepted": len(parsed.events),
            "rejected": [asdict(refused) for refused in parsed.rejected],
        }
        if parsed.warnings:
            answer["warnings"] = [asdict(remark) for remark in parsed.warnings]
        return Response(answer, status=202)


class _ConversionsView(_EventsView):
    def batch(self, parsed: parsing.Parsed[Any, ConversionEvent], environment_id: int) -> Batch:
        _refuse_reused_ids(parsed)
        beside = names.for_units_beside(environment_id, parsed.sent, parsed.events)
        return Batch(conversions=[*parsed.events, *beside])


class ExposureView(_EventsView):
    """Exposures: one, or {"events": [...]} up to 5,000 and 5 MB."""

    reader = parsing.EXPOSURES

    def batch(self, parsed: parsing.Parsed[Any, ExposureEvent], environment_id: int) -> Batch:
        parsed.warnings += names.unknown_flags(environment_id, parsed.sent)
        return Batch(exposures=parsed.events)

    @extend_schema(operation_id="events_exposure", request=_body_of("ExposureEvent"), responses={202: ACCEPTED})
    def post(self, request: Request) -> Response:
        return super().post(request)


class ConversionView(_ConversionsView):
    """Conversions: one, or {"events": [...]} up to 5,000 and 5 MB."""

    reader = parsing.CONVERSIONS

    @extend_schema(operation_id="events_conversion", request=_body_of("ConversionEvent"), responses={202: ACCEPTED})
    def post(self, request: Request) -> Response:
        return super().post(request)


class MetricView(_ConversionsView):
    """Conversions under `metricKey` instead of `eventName`."""

    reader = parsing.METRICS

    @extend_schema(operation_id="events_metrics", request=_body_of("MetricEvent"), responses={202: ACCEPTED})
    def post(self, request: Request) -> Response:
        return super().post(request)


def _refuse_reused_ids(parsed: parsing.Parsed[Any, ConversionEvent]) -> None:
    """Take out events whose id stands for other content already: which of the two counts must be no matter of luck."""
    dated = [event.timestamp is not None for _, event in parsed.sent]
    reused = services.reused_ids(list(zip(parsed.events, dated, strict=True)))
    if not reused:
        return
    for place in sorted(reused):
        index, event = parsed.sent[place]
        text = (
            f"{event.event_name!r} of {event.user_id!r} with this id came before with other content, which counts; "
            "give each event an id of its own."
        )
        parsed.rejected.append(Remark(index, "id_reused", text))
    kept = [place for place in range(len(parsed.events)) if place not in reused]
    parsed.sent[:], parsed.events[:] = [parsed.sent[place] for place in kept], [parsed.events[place] for place in kept]
    parsed.rejected.sort(key=lambda remark: remark.index)


def sent_body(request: Request) -> bytes:
    limit = settings.MAX_EVENTS_BODY_BYTES
    body: bytes = request._request.body  # noqa: SLF001 - the raw bytes: msgspec parses them, DRF's parsers do not
    if len(body) > limit:
        raise PayloadTooLarge(f"The body is larger than {limit:,} bytes; split it.")
    if not body:
        raise ParseError('The body is empty; send one event, or {"events": [...]}.')
    return parsing.decompressed(body, request.META.get("HTTP_CONTENT_ENCODING", "").strip().lower(), limit=limit)
