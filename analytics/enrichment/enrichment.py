"""Enriches an event just before it is stored: flags bots, and makes pseudonyms of ids where the policy asks for it."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
from django.db import connection

from analytics.enrichment.bots import flag_bots
from analytics.event_records import ConversionEvent, ExposureEvent
from analytics.models import BotUnit, EventPolicy

Event = TypeVar("Event", ExposureEvent, ConversionEvent)


@dataclass(frozen=True, slots=True)
class EnrichmentRules:
    """The rules of one revision: keys of the environments that store pseudonyms, and the units found to be bots."""

    pseudonym_keys: dict[int, bytes] = field(default_factory=dict)
    bot_units: frozenset[tuple[int, str]] = frozenset()

    @classmethod
    def load(cls) -> "EnrichmentRules":
        keys = EventPolicy.objects.filter(pseudonym_key__isnull=False).values_list("environment_id", "pseudonym_key")
        return cls(
            pseudonym_keys={environment_id: bytes(key or b"") for environment_id, key in keys},
            bot_units=frozenset(BotUnit.objects.values_list("environment_id", "unit_id")),
        )

    def exposures(self, events: list[ExposureEvent]) -> list[tuple[ExposureEvent, bool]]:
        """Return each exposure as it will be stored, and whether it is a bot's."""
        flags = flag_bots([event.unit_id for event in events], [event.user_agent for event in events])
        return self._named(events, flags)

    def conversions(self, events: list[ConversionEvent]) -> list[tuple[ConversionEvent, bool]]:
        return self._named(events, flag_bots([event.unit_id for event in events], []))

    def wants(self, environment_id: int, unit_id: str, *, flag: bool, was: bool) -> bool:
        """Return whether a stored event is a bot's, given what the patterns say. A pseudonym keeps the flag it had."""
        is_bot = flag or (environment_id, unit_id) in self.bot_units
        return is_bot or (was and environment_id in self.pseudonym_keys)

    def _named(self, events: Iterable[Event], flags: Iterable[bool]) -> list[tuple[Event, bool]]:
        # Patterns match the id that came; units found by behaviour have the id that is stored.
        if self.pseudonym_keys:
            events = [self._pseudonymous(event) for event in events]
        if not self.bot_units:
            return list(zip(events, flags, strict=True))
        return [
            (event, flag or (event.environment_id, event.unit_id) in self.bot_units)
            for event, flag in zip(events, flags, strict=True)
        ]

    def _pseudonymous(self, event: Event) -> Event:
        key = self.pseudonym_keys.get(event.environment_id)
        return event if key is None else msgspec.structs.replace(event, unit_id=pseudonym(key, event.unit_id))


def current_revision() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce((SELECT value FROM derived_revision), 0)")
        return int(cursor.fetchone()[0])


def announce_change() -> None:
    """Count the revision up in the caller's transaction. Every process reads the rules again with its next batch."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO derived_revision (id, value) VALUES (1, 1) "
            "ON CONFLICT (id) DO UPDATE SET value = derived_revision.value + 1"
        )


def pseudonym(key: bytes, unit_id: str) -> str:
    """Return HMAC-SHA256 in hexadecimal. Equal ids have equal pseudonyms, so exposures and conversions still join."""
    return hmac.new(key, unit_id.encode(), hashlib.sha256).hexdigest()
