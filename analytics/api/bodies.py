"""The bodies of events as they are sent, and what the answer says of one of them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec

MAX_UNIT_CHARACTERS = 1024

_Key = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Unit = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_UNIT_CHARACTERS)]
_Instant = Annotated[datetime, msgspec.Meta(tz=True)]
_Bag = dict[str, Any] | None


class ExposureIn(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """The body of one exposure. Unknown fields are ignored, so that newer SDKs may send more."""

    evaluation_id: UUID
    flag_key: _Key
    user_id: _Unit
    variant: _Key
    timestamp: _Instant
    attributes: _Bag = None
    source: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    experiment: _Key | None = None
    reason: Annotated[str, msgspec.Meta(max_length=50)] | None = None
    rule_id: _Key | None = None
    config_version: Annotated[int, msgspec.Meta(ge=0, le=2**62)] | None = None
    prefetched: bool = False


class ConversionIn(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """The body of one conversion."""

    user_id: _Unit
    event_name: _Key
    id: _Key | None = None
    value: float | None = None
    timestamp: _Instant | None = None
    properties: _Bag = None


class MetricIn(msgspec.Struct, rename={"event_name": "metricKey", "user_id": "userId"}, frozen=True, gc=False):
    """A conversion under the name of a metric."""

    user_id: _Unit
    event_name: _Key
    id: _Key | None = None
    value: float | None = None
    timestamp: _Instant | None = None
    properties: _Bag = None


@dataclass(frozen=True, slots=True)
class Remark:
    """About one event: its index in the batch, a stable code, and what to change. It was refused, or is warned of."""

    index: int
    code: str
    detail: str
