"""Takes a body of events in, whoever brought it: read, held against what is known, and made durable."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from analytics import prometheus, services
from analytics.api import names, parsing
from analytics.api.bodies import Remark
from analytics.event_records import Batch, ConversionEvent, ExposureEvent
from tenancy.errors import Invalid, Problem


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends. `name` stands for the source of exposures that name none."""

    environment_id: int
    name: str
    idempotency_key: str = ""


@dataclass(frozen=True, slots=True)
class EventKind:
    """`batch` makes what is to be stored, and adds remarks to what was read."""

    reader: parsing.Reader[Any, Any]
    batch: Callable[[parsing.Parsed[Any, Any], int], Batch]


def take(kind: EventKind, body: bytes, sender: Sender) -> dict[str, Any]:
    """Return `{accepted, rejected, warnings?}`. Raises ParseError, Invalid, PayloadTooLarge and Unavailable."""
    parsed = kind.reader.read(
        body, environment_id=sender.environment_id, idempotency_key=sender.idempotency_key, source=sender.name
    )
    batch = kind.batch(parsed, sender.environment_id)
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
    return answer


def _exposures(parsed: parsing.Parsed[Any, ExposureEvent], environment_id: int) -> Batch:
    parsed.warnings += names.unknown_flags(environment_id, parsed.sent)
    return Batch(exposures=parsed.events)


def _conversions(parsed: parsing.Parsed[Any, ConversionEvent], environment_id: int) -> Batch:
    _refuse_reused_ids(parsed)
    beside = names.for_units_beside(environment_id, parsed.sent, parsed.events)
    return Batch(conversions=[*parsed.events, *beside])


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


EXPOSURE = EventKind(parsing.EXPOSURES, _exposures)
CONVERSION = EventKind(parsing.CONVERSIONS, _conversions)
METRIC = EventKind(parsing.METRICS, _conversions)
