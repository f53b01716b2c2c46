"""Reads events from a body by typed decoding. Where that fails it reads one event at a time, to name the bad one."""

import json
import re
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

import msgspec
import orjson
from openflagship.ids import uuid7
from openflagship.wire.bodies import NUL_REFUSAL, SURROGATE_REFUSAL
from rest_framework.exceptions import ParseError

from analytics.api.bodies import ConversionIn, ExposureIn, MetricIn, Remark
from analytics.api.names import under_event_names
from analytics.event_records import MAX_AHEAD, ConversionEvent, ExposureEvent, event_id_of
from tenancy.errors import Invalid, PayloadTooLarge

MAX_EVENTS = 5000
MAX_AHEAD_MS = MAX_AHEAD // timedelta(milliseconds=1)
# In millionths, which is how values are added up, it still fits a 64-bit integer.
MAX_VALUE = 9e12
MAX_ATTRIBUTES = 100
MAX_ATTRIBUTE_BYTES = 32 * 1024

# Of malformed JSON, of bytes that are no UTF-8, and of nesting without end.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Envelope(msgspec.Struct):
    events: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


class _RejectedEventError(Exception):
    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


In = TypeVar("In", ExposureIn, ConversionIn, MetricIn)
Event = TypeVar("Event", ExposureEvent, ConversionEvent)


@dataclass(frozen=True, slots=True)
class Arrival:
    """Where and when events came in. `source` names the sender, for exposures that do not name a service."""

    environment_id: int
    now_ms: int
    idempotency_key: str
    source: str


_Make = Callable[[In, Arrival, int], Event]
Sent = list[tuple[int, In]]


@dataclass(slots=True)
class Parsed(Generic[In, Event]):
    """The events of a body, the refused ones, and whether it was a single event without an envelope.

    `sent` has each event as it came, with its index in the batch; `events` has what is to be stored of it.
    """

    sent: Sent[In]
    events: list[Event]
    rejected: list[Remark] = field(default_factory=list)
    warnings: list[Remark] = field(default_factory=list)
    is_single: bool = False


class Reader(Generic[In, Event]):
    """Reads bodies of one kind of event."""

    def __init__(
        self,
        kind: type[In],
        make: "_Make[In, Event]",
        resolved: Callable[[int, Sent[In]], tuple[Sent[In], list[Remark]]] = lambda _, sent: (sent, []),
    ) -> None:
        self._one: msgspec.json.Decoder[In] = msgspec.json.Decoder(kind)
        many = msgspec.defstruct(f"{kind.__name__}Envelope", [("events", list[kind])])  # type: ignore[valid-type]  # a type made at run time
        self._many: msgspec.json.Decoder[Any] = msgspec.json.Decoder(many)
        self._make: _Make[In, Event] = make
        self._resolved: Callable[[int, Sent[In]], tuple[Sent[In], list[Remark]]] = resolved

    def read(
        self, body: bytes, *, environment_id: int, idempotency_key: str = "", source: str = "api"
    ) -> Parsed[In, Event]:
        """Return the events. Raises ParseError (no JSON), Invalid (no event), PayloadTooLarge (over 5,000)."""
        arrival = Arrival(environment_id, time.time_ns() // 1_000_000, idempotency_key, source)
        # JSON can contain a NUL only by this escape, and PostgreSQL cannot store one: check such a body event by event.
        if b"\\u0000" not in body:
            try:
                found = self._many.decode(body).events
                _check_count(len(found))
                sent, warnings = self._resolved(environment_id, list(enumerate(found)))
                events = [self._make(event, arrival, index) for index, event in sent]
            except (*UNREADABLE, _RejectedEventError):
                pass  # read event by event below, to name the bad ones
            else:
                return Parsed(sent, events, warnings=warnings)
        return self._read_each(body, arrival)

    def _read_each(self, body: bytes, arrival: Arrival) -> Parsed[In, Event]:
        found = _each_of(body)
        is_single = found is msgspec.UNSET
        raw: list[Any] = [body] if found is msgspec.UNSET else found
        _check_count(len(raw))
        decoded: Sent[In] = []
        rejected: list[Remark] = []
        for index, one in enumerate(raw):
            try:
                _check_text(bytes(one))
                decoded.append((index, self._one.decode(one)))
            except msgspec.ValidationError as error:
                rejected.append(Remark(index, code_of(str(error)), f"{error}."))
            except UNREADABLE as error:
                is_half = _SURROGATE.search(bytes(one)) is not None
                remark = ("invalid_text", SURROGATE_REFUSAL) if is_half else ("invalid", f"{error}.")
                rejected.append(Remark(index, *remark))
            except _RejectedEventError as error:
                rejected.append(Remark(index, error.code, str(error)))
        decoded, warnings = self._resolved(arrival.environment_id, decoded)
        parsed: Parsed[In, Event] = Parsed([], [], rejected, warnings, is_single)
        for index, event in decoded:
            try:
                made = self._make(event, arrival, index)
            except _RejectedEventError as error:
                rejected.append(Remark(index, error.code, str(error)))
            else:
                parsed.sent.append((index, event))
                parsed.events.append(made)
        rejected.sort(key=lambda remark: remark.index)
        return parsed


_envelope = msgspec.json.Decoder(_Envelope)
# An escape of half a character beyond the basic plane; whether its other half follows is for the decoder to say.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def _each_of(body: bytes) -> list[Any] | msgspec.UnsetType:
    """The events of a batch, still JSON; UNSET for a body without an envelope. Raises ParseError, Invalid."""
    try:
        return _envelope.decode(body).events
    except msgspec.ValidationError as error:
        raise Invalid(f'Send one event, or {{"events": [...]}}: {error}.', code="invalid_type") from error
    except UNREADABLE as error:
        # The decoder takes half a pair for malformed JSON. It costs its own event, and not the others of the batch.
        found = _with_halves(body)
        if found is None:
            raise ParseError(f"The body is not valid JSON: {error}.") from error
        return found


def _with_halves(body: bytes) -> list[Any] | msgspec.UnsetType | None:
    """As `_each_of`, of JSON with half a surrogate pair in some text; None for anything else."""
    if not _SURROGATE.search(body):
        return None
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or "events" not in found:
        return msgspec.UNSET if isinstance(found, dict) else None
    events = found["events"]
    return [json.dumps(one).encode() for one in events] if isinstance(events, list) else None


def _check_count(count: int) -> None:
    if count > MAX_EVENTS:
        raise PayloadTooLarge(f"A batch has at most {MAX_EVENTS:,} events, this one {count:,}; split it.")


def _check_text(raw: bytes) -> None:
    if b"\\u0000" in raw:
        raise _RejectedEventError("invalid_text", NUL_REFUSAL)


def code_of(message: str) -> str:
    if "missing required field" in message:
        return "required"
    return "invalid_type" if message.startswith("Expected `") and ", got `" in message else "invalid"


def _moment_ms(timestamp: datetime, now_ms: int) -> int:
    moment = round(timestamp.timestamp() * 1000)
    if moment - now_ms > MAX_AHEAD_MS:
        raise _RejectedEventError("timestamp_in_future", "The timestamp is more than 24 h ahead of the server's clock.")
    if moment < 0:
        raise _RejectedEventError("out_of_range", "The timestamp lies before 1970; send the moment of the event.")
    return moment


def _json_of(bag: dict[str, Any], name: str) -> str:
    if len(bag) > MAX_ATTRIBUTES:
        raise _RejectedEventError("too_many", f"`{name}` has more than {MAX_ATTRIBUTES} entries.")
    try:
        encoded = orjson.dumps(bag)
    except orjson.JSONEncodeError as error:
        raise _RejectedEventError("invalid", f"`{name}` cannot be stored: {error}.") from error
    if len(encoded) > MAX_ATTRIBUTE_BYTES:
        raise _RejectedEventError("too_large", f"`{name}` takes more than 32 KiB.")
    return encoded.decode()


def _exposure(event: ExposureIn, arrival: Arrival, _index: int) -> ExposureEvent:
    attributes = event.attributes
    user_agent = attributes.get("userAgent") if attributes else None
    return ExposureEvent(
        event.evaluation_id,
        arrival.environment_id,
        event.flag_key,
        event.user_id,
        event.variant,
        event.reason or "UNKNOWN",
        event.rule_id,
        event.experiment,
        event.config_version or 0,
        _moment_ms(event.timestamp, arrival.now_ms),
        arrival.now_ms,
        event.source or arrival.source,
        user_agent[:500] if isinstance(user_agent, str) else None,
        _json_of(attributes, "attributes") if attributes else None,
        event.prefetched,
    )


def _conversion(event: ConversionIn | MetricIn, arrival: Arrival, index: int) -> ConversionEvent:
    if event.id is not None:
        event_id = event_id_of(event.id, event.event_name, event.user_id)
    elif arrival.idempotency_key:
        event_id = event_id_of(f"Idempotency-Key {arrival.idempotency_key} {index}", event.event_name, event.user_id)
    else:
        event_id = uuid7(arrival.now_ms)
    value = event.value
    if value is not None and not -MAX_VALUE <= value <= MAX_VALUE:
        raise _RejectedEventError("out_of_range", "`value` must lie between -9e12 and 9e12; send it in a larger unit.")
    return ConversionEvent(
        event_id,
        arrival.environment_id,
        event.user_id,
        event.event_name,
        value,
        arrival.now_ms if event.timestamp is None else _moment_ms(event.timestamp, arrival.now_ms),
        arrival.now_ms,
        _json_of(event.properties, "properties") if event.properties else None,
    )


EXPOSURES: Reader[ExposureIn, ExposureEvent] = Reader(ExposureIn, _exposure)
CONVERSIONS: Reader[ConversionIn, ConversionEvent] = Reader(ConversionIn, _conversion)
METRICS: Reader[MetricIn, ConversionEvent] = Reader(MetricIn, _conversion, under_event_names)


def decompressed(body: bytes, encoding: str, *, limit: int) -> bytes:
    """Undo `Content-Encoding`. Raises PayloadTooLarge above `limit` bytes, and inflates no more than that."""
    if encoding in {"", "identity"}:
        return body
    if encoding != "gzip":
        raise Invalid(f"Content-Encoding {encoding!r} is not supported; send gzip, or none.", code="invalid")
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise ParseError(f"The body is not valid gzip: {error}.") from error
    if len(plain) > limit:
        raise PayloadTooLarge(f"The body is larger than {limit:,} bytes when unpacked; split it.")
    if not inflater.eof:
        raise ParseError("The gzip body ends too early.")
    return plain
