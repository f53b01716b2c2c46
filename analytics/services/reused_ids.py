"""Finds conversions whose id, chosen by their sender, stands for an event with other content already."""

import hashlib
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

import orjson
import structlog
from django.db import DatabaseError

from analytics.event_records import CHOSEN_VERSION, ConversionEvent
from analytics.pipeline.claims import others
from analytics.stores import store

# What was accepted is stored by then, unless the ingest is behind.
_CLAIM_SECONDS = 120

log = structlog.get_logger(__name__)

_Key = tuple[int, UUID]


class _Content(NamedTuple):
    """What an id stands for, beside its unit and name. `occurred_ms` is None where the sender gave no time."""

    value: float | None
    occurred_ms: int | None
    properties: str | None

    def agrees_with(self, other: "_Content") -> bool:
        is_dated = self.occurred_ms is not None and other.occurred_ms is not None
        same = (self.value, self.properties) == (other.value, other.properties)
        return same and (not is_dated or self.occurred_ms == other.occurred_ms)

    @property
    def text(self) -> str:
        return orjson.dumps(list(self)).decode()


def reused_ids(sent: Sequence[tuple[ConversionEvent, bool]]) -> set[int]:
    """Return the places of those events whose id came with other content before: stored, lately, or in this batch.

    Each event comes with whether its sender dated it. An id that is a UUIDv7 is taken to be made for its event, and is
    not looked up. While PostgreSQL or Redis is away, nothing is looked up there.
    """
    chosen = {
        place: (
            (event.environment_id, event.event_id),
            _Content(event.value, event.occurred_ms if is_dated else None, _digest(event.properties)),
        )
        for place, (event, is_dated) in enumerate(sent)
        if event.event_id.version == CHOSEN_VERSION
    }
    first: dict[_Key, _Content] = {}
    for key, content in chosen.values():
        first.setdefault(key, content)
    first |= _stored(list(first))
    claims = others({_name(key): content.text for key, content in first.items()}, seconds=_CLAIM_SECONDS)
    for key in first:
        if _name(key) in claims:
            first[key] = _Content(*orjson.loads(claims[_name(key)]))
    return {place for place, (key, content) in chosen.items() if not content.agrees_with(first[key])}


def _stored(keys: Sequence[_Key]) -> dict[_Key, _Content]:
    found: dict[_Key, _Content] = {}
    for environment_id in {environment_id for environment_id, _ in keys}:
        ids = [event_id for owner, event_id in keys if owner == environment_id]
        try:
            rows = store().conversions_by_id(environment_id, ids)
        except DatabaseError as error:
            log.warning("reused ids are not looked for in the store", because=str(error))
            return found
        for event_id, value, occurred_ms, properties in rows:
            found[environment_id, event_id] = _Content(value, occurred_ms, _digest(properties))
    return found


def _name(key: _Key) -> str:
    return f"conversion:{key[0]}:{key[1].hex}"


def _digest(properties: str | None) -> str | None:
    """Of the JSON's meaning: stores may write it in another way."""
    if properties is None:
        return None
    meaning = json.loads(properties, parse_int=_number, parse_float=_number)
    canonical = orjson.dumps(meaning, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(canonical, digest_size=12).hexdigest()


def _number(text: str) -> int | float:
    """Read 1e16 and 1.0 as integers, because PostgreSQL writes numbers in full. orjson takes integers of 64 bits."""
    exact = Decimal(text)
    if -(2**63) <= exact < 2**64 and exact == exact.to_integral_value():
        return int(exact)
    return float(text)
