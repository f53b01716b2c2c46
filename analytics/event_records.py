"""Events on their way through the broker, as positional msgpack, and the ids by which each counts once."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Final
from uuid import UUID

import msgspec
from django.conf import settings

# Hashes keyed by a secret of the installation: an id, which is stored, must not tell whose event it is.
_KEYED_FOR: Final = b"flagship conversion id"
_HEXADECIMAL_DIGITS: Final = 32
_TIME_BITS: Final = 48
_RANDOM: Final = (0xFFF << 64) | ((1 << 62) - 1)
_VARIANT: Final = 0x2 << 62
# Made of a client's own text; a UUIDv7 stays one, since its time says where it is stored.
CHOSEN_VERSION: Final = 8
# Those begin with these bits, so that they stand in a partition of their own (analytics.stores.postgres.partitions).
CHOSEN_BEGINNING: Final = 0xFF << (_TIME_BITS - 8)
_TIMED_VERSION: Final = 7
# A client's clock may be ahead of the server's by so much, and no event bears a later time.
MAX_AHEAD: Final = timedelta(hours=24)


class ExposureEvent(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An exposure in the table's column order, with instants as Unix milliseconds and attributes as JSON text."""

    evaluation_id: UUID
    environment_id: int
    flag_key: str
    unit_id: str
    variant: str
    reason: str
    rule_id: str | None
    experiment: str | None
    config_version: int
    occurred_ms: int
    received_ms: int
    source: str
    user_agent: str | None = None
    attributes: str | None = None
    # Of a bulk answer: its user need not have seen it.
    is_prefetched: bool = False


class ConversionEvent(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A conversion in the table's column order, with instants as Unix milliseconds and properties as JSON text."""

    event_id: UUID
    environment_id: int
    unit_id: str
    event_name: str
    value: float | None
    occurred_ms: int
    received_ms: int
    properties: str | None = None


class Batch(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What the broker holds. A new field of an event goes last and has a default, so old batches stay readable."""

    exposures: list[ExposureEvent] = []
    conversions: list[ConversionEvent] = []

    def __len__(self) -> int:
        return len(self.exposures) + len(self.conversions)

    def halves(self) -> tuple["Batch", "Batch"]:
        """Split two or more events into two batches."""
        exposures, conversions = len(self.exposures), len(self.conversions)
        if exposures and conversions:
            return Batch(exposures=self.exposures), Batch(conversions=self.conversions)
        middle = (exposures + conversions) // 2
        return (
            Batch(self.exposures[:middle], self.conversions[:middle]),
            Batch(self.exposures[middle:], self.conversions[middle:]),
        )


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What cannot be stored, and why. `payload` is a packed batch of one event, or a payload that is no batch."""

    kind: str
    environment_id: int | None
    reason: str
    payload: bytes

    @classmethod
    def of_event(cls, batch: Batch, reason: str) -> "Unreadable":
        """Make it from a batch of exactly one event."""
        event: ExposureEvent | ConversionEvent = (batch.exposures or batch.conversions)[0]
        kind = "exposure" if batch.exposures else "conversion"
        return cls(kind=kind, environment_id=event.environment_id, reason=reason, payload=pack(batch))


_encoder = msgspec.msgpack.Encoder(uuid_format="bytes")
_decoder = msgspec.msgpack.Decoder(Batch)

pack = _encoder.encode


def unpack(packed: bytes) -> Batch:
    """Return the batch. Raises msgspec.DecodeError (ValidationError included) when the payload is not a batch."""
    return _decoder.decode(packed)


def unpack_leniently(packed: bytes) -> tuple[Batch, list[Unreadable]]:
    """Return the events that can be read as a batch, and each of the others as Unreadable."""
    try:
        return unpack(packed), []
    except msgspec.DecodeError as error:
        try:
            exposures, conversions = msgspec.msgpack.decode(packed)
            kinds: list[tuple[str, type[ExposureEvent] | type[ConversionEvent], list[Any]]] = [
                ("exposure", ExposureEvent, list(exposures)),
                ("conversion", ConversionEvent, list(conversions)),
            ]
        except (msgspec.DecodeError, ValueError, TypeError):
            return Batch(), [Unreadable("entry", None, f"not a batch: {error}", packed)]
    batch, bad = Batch([], []), []
    for name, kind, events in kinds:
        for event in events:
            try:
                good = msgspec.convert(event, kind)
            except msgspec.ValidationError as error:
                alone = pack(([event], []) if kind is ExposureEvent else ([], [event]))
                bad.append(Unreadable(name, None, str(error), alone))
            else:
                (batch.exposures if isinstance(good, ExposureEvent) else batch.conversions).append(good)  # type: ignore[arg-type]  # mypy joins the two lists
    return batch, bad


def event_id_of(text: str, event_name: str, unit_id: str) -> UUID:
    """Return the id of a unit's event of that name that its sender calls `text`: always the same, and no other's.

    Two names, or two units, may use the same text. A UUIDv7 gives a UUIDv7 of the same time, all else a UUIDv8.
    """
    moment, version = None, CHOSEN_VERSION
    if len(text) >= _HEXADECIMAL_DIGITS:
        try:
            own = UUID(text)
        except ValueError:
            pass  # not a UUID
        else:
            text = own.hex
            if own.version == _TIMED_VERSION:
                moment, version = own.int >> (128 - _TIME_BITS), _TIMED_VERSION
    digest = _keyed().copy()
    # Lengths first, so that no two different triples give the same bytes.
    digest.update(f"{len(event_name)} {len(unit_id)} {event_name}{unit_id}{text}".encode())
    number = int.from_bytes(digest.digest(), "big")
    time = CHOSEN_BEGINNING | number >> (128 - _TIME_BITS) if moment is None else moment
    return UUID(int=time << (128 - _TIME_BITS) | version << 76 | _VARIANT | number & _RANDOM)


@cache
def _keyed() -> "hashlib.blake2b":
    secret = hashlib.blake2b(settings.SECRET_KEY.encode(), person=b"flagship", digest_size=32).digest()
    return hashlib.blake2b(_KEYED_FOR, key=secret, digest_size=16)
